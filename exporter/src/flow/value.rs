//! What a field of a message can be: a number, a text, a list, an enum, another message.

use std::borrow::Cow;

use super::{Few, Timestamp};

/// Makes a value independent of the line it was read from.
pub trait IntoStatic {
    /// The same type for ever.
    type Static;

    /// Copies what is borrowed.
    fn into_static(self) -> Self::Static;
}

impl IntoStatic for Cow<'_, str> {
    type Static = Cow<'static, str>;

    fn into_static(self) -> Self::Static {
        Cow::Owned(Cow::into_owned(self))
    }
}

impl<T: IntoStatic> IntoStatic for Option<T> {
    type Static = Option<T::Static>;

    fn into_static(self) -> Self::Static {
        self.map(T::into_static)
    }
}

impl<T: IntoStatic> IntoStatic for Vec<T> {
    type Static = Vec<T::Static>;

    fn into_static(self) -> Self::Static {
        self.into_iter().map(T::into_static).collect()
    }
}

impl<T: IntoStatic> IntoStatic for Few<T> {
    type Static = Few<T::Static>;

    fn into_static(self) -> Self::Static {
        match self {
            Few::None => Few::None,
            Few::One(one) => Few::One(one.into_static()),
            Few::Many(many) => Few::Many(many.into_static()),
        }
    }
}

impl<T: IntoStatic> IntoStatic for Box<T> {
    type Static = Box<T::Static>;

    fn into_static(self) -> Self::Static {
        Box::new((*self).into_static())
    }
}

/// Values that borrow nothing.
macro_rules! owned_already {
    ($($kind:ty),* $(,)?) => {
        $(impl IntoStatic for $kind {
            type Static = $kind;

            fn into_static(self) -> $kind {
                self
            }
        })*
    };
}

owned_already!(u32, i32, u64, i64, bool, Timestamp);
