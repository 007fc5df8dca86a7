//! How a message of the flow schema is declared: once, with its field names, kinds and numbers.
//!
//! From a declaration come the struct, its copy that owns its strings, and its JSON, protobuf and mask forms, so that none
//! of them can disagree with another about a name, a number or the order of fields.

/// Declares a message. A field is `name: Kind = number,`, in the order of the schema, with the JSON name behind the number where it
/// differs from the Rust name. A oneof stands last, in brackets: `[slot: Choice { Variant(Kind) = number "name", }]`.
macro_rules! message {
    (
        $(#[$about:meta])*
        $name:ident {
            $($(#[$note:meta])* $field:ident: $kind:ty = $number:literal $($json:literal)?,)*
            $([ $(#[$slot_note:meta])* $slot:ident: $choice:ident {
                $($(#[$variant_note:meta])* $variant:ident($member:ty) = $member_number:literal $member_json:literal,)*
            } ])?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name<'a> {
            $(
                #[doc = concat!("`", message!(@name $field $($json)?), "`, number ", stringify!($number), ".")]
                $(#[$note])*
                pub $field: $kind,
            )*
            $(
                $(#[$slot_note])*
                pub $slot: Option<$choice<'a>>,
            )?
            /// Fields this build does not know, kept for passing on.
            pub unknown: $crate::flow::Unknown<'a>,
        }

        $(
            $(#[$slot_note])*
            #[derive(Clone, Debug, PartialEq)]
            pub enum $choice<'a> {
                $(
                    #[doc = concat!("`", $member_json, "`, number ", stringify!($member_number), ".")]
                    $(#[$variant_note])*
                    $variant($member),
                )*
            }
        )?

        impl<'a> $crate::flow::value::IntoStatic for $name<'a> {
            type Static = $name<'static>;

            fn into_static(self) -> $name<'static> {
                $name {
                    $($field: self.$field.into_static(),)*
                    $($slot: match self.$slot {
                        None => None,
                        $(Some($choice::$variant(member)) => Some($choice::$variant(member.into_static())),)*
                    },)?
                    unknown: self.unknown.into_static(),
                }
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $json:literal) => { $json };
}
