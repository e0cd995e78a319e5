//! How the structs of the model are written: fields in the order of the reference, absent when
//! empty, as Go's `omitempty` leaves them out. The order counts: the config hash is taken over it.

use std::collections::BTreeMap;

/// What is left out of the JSON of a struct when it holds nothing.
pub(crate) trait Omit {
    /// True when the field is to be left out.
    fn omit(&self) -> bool;
}

impl Omit for String {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}

impl<T> Omit for Vec<T> {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}

impl<T> Omit for Option<T> {
    fn omit(&self) -> bool {
        self.is_none()
    }
}

impl<K, V> Omit for BTreeMap<K, V> {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}

impl Omit for bool {
    fn omit(&self) -> bool {
        !*self
    }
}

impl Omit for i64 {
    fn omit(&self) -> bool {
        *self == 0
    }
}

impl Omit for u32 {
    fn omit(&self) -> bool {
        *self == 0
    }
}

/// Defines structs of the model, each field with its documentation and left out when empty.
macro_rules! record {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident : $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(skip_serializing_if = "crate::compose::model::record::Omit::omit")]
                pub $field: $type,
            )*
        }
    )*};
}

pub(crate) use record;
