//! A list that nearly always holds at most one element, kept without an allocation.
//!
//! An endpoint has at most one workload in every Hubble release so far; the schema allows more.

/// None, one or many. Reads like a slice.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Few<T> {
    /// Empty.
    #[default]
    None,
    /// The usual case.
    One(T),
    /// Two or more.
    Many(Vec<T>),
}

impl<T> Few<T> {
    /// Appends an element.
    pub fn push(&mut self, element: T) {
        match self {
            Few::None => *self = Few::One(element),
            Few::Many(many) => many.push(element),
            Few::One(_) => {
                if let Few::One(first) = std::mem::take(self) {
                    *self = Few::Many(vec![first, element]);
                }
            }
        }
    }
}

impl<T> std::ops::Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Few::None => &[],
            Few::One(one) => std::slice::from_ref(one),
            Few::Many(many) => many,
        }
    }
}

impl<T> std::ops::DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Few::None => &mut [],
            Few::One(one) => std::slice::from_mut(one),
            Few::Many(many) => many,
        }
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut few = Few::None;
        for element in elements {
            few.push(element);
        }
        few
    }
}
