//! Requests that `object_store` has no call for: a bucket's configuration, and locks on versions that are there.
//! They are presigned by `object_store` and sent by our own client.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Method, header::DATE};
use md5::{Digest, Md5};
use object_store::signer::{SignedUrlOptions, Signer};

use super::bucket::{Bucket, key_path};
use super::failure::Failure;
use super::retention::{Lock, Mode};

/// A presigned request is used at once.
const PRESIGNED_FOR: Duration = Duration::from_secs(300);

/// What a bucket promises for every object, before any header asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketLock {
    /// Whether objects can be locked here at all.
    pub enabled: bool,
    /// Mode and days of the bucket's default retention.
    pub default: Option<(Mode, u32)>,
}

impl Bucket {
    /// Whether the bucket has Object Lock, and its default retention.
    ///
    /// # Errors
    /// What the server or the network said; a bucket without Object Lock is no error.
    pub async fn lock_configuration(&self) -> Result<BucketLock, Failure> {
        match self.presigned(Method::GET, "", &[("object-lock", "")], String::new()).await {
            Ok(xml) => Ok(read_lock_configuration(&xml)),
            Err(failure) if failure.why.contains("ObjectLockConfigurationNotFound") => Ok(BucketLock { enabled: false, default: None }),
            Err(failure) => Err(failure),
        }
    }

    /// Whether the bucket keeps versions.
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn keeps_versions(&self) -> Result<bool, Failure> {
        let xml = self.presigned(Method::GET, "", &[("versioning", "")], String::new()).await?;
        Ok(element(&xml, "Status") == Some("Enabled"))
    }

    /// Locks a version that is there, or locks it longer (PutObjectRetention).
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn lengthen(&self, key: &str, version: &str, lock: &Lock) -> Result<(), Failure> {
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{}</Mode><RetainUntilDate>{}</RetainUntilDate></Retention>",
            lock.mode.as_str(),
            lock.until_text()
        );
        self.presigned(Method::PUT, key, &[("retention", ""), ("versionId", version)], body).await.map(|_| ())
    }

    /// Sets a legal hold on a version that is there (PutObjectLegalHold).
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn hold(&self, key: &str, version: &str) -> Result<(), Failure> {
        let body = "<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>ON</Status></LegalHold>";
        let query = [("legal-hold", ""), ("versionId", version)];
        self.presigned(Method::PUT, key, &query, body.to_owned()).await.map(|_| ())
    }

    /// Sends a request that `object_store` has no call for.
    async fn presigned(&self, method: Method, key: &str, query: &[(&str, &str)], body: String) -> Result<String, Failure> {
        let name = query.first().map_or("", |(name, _)| name);
        let place = if key.is_empty() { format!("bucket {}", self.name) } else { key.to_owned() };
        let doing = format!("{method} ?{name} of {place}");
        let options = SignedUrlOptions::default().with_query(query.iter().copied());
        let url = self
            .store
            .signed_url_opts(method.clone(), &key_path(key)?, PRESIGNED_FOR, &options)
            .await
            .map_err(|error| Failure::of(&doing, &error))?;
        let host = url.host_str().unwrap_or("").to_owned() + &url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let unknown = |error: reqwest::Error| Failure::of_connection(&doing, &host, &error.without_url());
        let mut request = self.http.request(method, url.as_str());
        if !body.is_empty() {
            let md5 = BASE64_STANDARD.encode(Md5::digest(&body));
            request = request.header("content-md5", md5).body(body);
        }
        let answer = request.send().await.map_err(unknown)?;
        if let Some(date) = answer.headers().get(DATE).and_then(|date| date.to_str().ok()) {
            self.clock.learn(date);
        }
        let status = answer.status();
        let text = answer.text().await.map_err(unknown)?;
        if status.is_success() { Ok(text) } else { Err(Failure::of_status(&doing, status.as_u16(), &text)) }
    }
}

/// The text of the first element `name`. The answers read here are a few flat elements.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text.trim())
}

fn read_lock_configuration(xml: &str) -> BucketLock {
    let number = |name| element(xml, name).and_then(|text| text.parse::<u32>().ok());
    let days = number("Days").or_else(|| number("Years").map(|years| years.saturating_mul(365)));
    BucketLock {
        enabled: element(xml, "ObjectLockEnabled") == Some("Enabled"),
        default: element(xml, "Mode").and_then(Mode::parse).zip(days),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buckets_lock_configuration_is_read_in_all_its_forms() {
        let xml = |rule: &str| {
            format!(
                "<?xml version=\"1.0\"?>\n<ObjectLockConfiguration xmlns=\"x\"><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}</ObjectLockConfiguration>"
            )
        };
        let rule =
            |mode: &str, period: &str| xml(&format!("<Rule><DefaultRetention><Mode>{mode}</Mode>{period}</DefaultRetention></Rule>"));
        let cases = [
            (xml(""), true, None),
            (rule("COMPLIANCE", "<Days>30</Days>"), true, Some((Mode::Compliance, 30))),
            (rule("GOVERNANCE", "<Years>2</Years>"), true, Some((Mode::Governance, 730))),
            ("<ObjectLockConfiguration/>".to_owned(), false, None),
            (String::new(), false, None),
        ];
        for (xml, enabled, default) in cases {
            assert_eq!(read_lock_configuration(&xml), BucketLock { enabled, default }, "{xml}");
        }
    }
}
