//! What was removed and still delivers what is spooled: until that is done, until its time is over, or until it is called back because it is wanted
//! again or the daemon ends. Nobody ever waits for it longer than what is on the way takes to land.

use std::future::{Future, pending};

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Something that is on its way out.
pub struct Retiring {
    task: JoinHandle<()>,
    call_back: watch::Sender<bool>,
}

/// The other end: how the work hears that it is called back.
#[derive(Clone)]
pub struct CallBack(watch::Receiver<bool>);

impl Retiring {
    /// Starts the work. Needs the daemon's runtime.
    pub fn start<F: Future<Output = ()> + Send + 'static>(work: impl FnOnce(CallBack) -> F) -> Self {
        let (call_back, heard) = watch::channel(false);
        Self { task: tokio::spawn(work(CallBack(heard))), call_back }
    }

    /// Whether it is done.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Ends it soon. What it has not delivered stays where it is, for whoever goes on.
    pub async fn call_back(self) {
        self.call_back.send_replace(true);
        self.over().await;
    }

    /// Waits until it is done; once `back` is heard, no longer than [`Retiring::call_back`].
    pub async fn over_or(mut self, back: &mut CallBack) {
        tokio::select! {
            _ = &mut self.task => {}
            () = back.heard() => self.call_back().await,
        }
    }

    /// Waits until it is done.
    pub async fn over(mut self) {
        // That it panicked is in the process's log.
        drop((&mut self.task).await);
    }
}

impl CallBack {
    /// Comes to its end when the work is called back, else never.
    pub async fn heard(&mut self) {
        if self.0.wait_for(|called| *called).await.is_err() {
            pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn work_that_is_called_back_ends_and_work_that_is_not_goes_on() {
        let endless = || Retiring::start(|mut back| async move { back.heard().await });
        endless().call_back().await;
        let still = endless();
        assert!(tokio::time::timeout(Duration::from_millis(50), still.over()).await.is_err());
        let done = Retiring::start(|_| async {});
        done.over().await;
    }
}
