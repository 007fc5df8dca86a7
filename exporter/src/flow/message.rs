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

        impl<'a> $name<'a> {
            /// The fields in the order of the schema.
            pub(crate) const FIELDS: $crate::flow::fields::Fields = $crate::flow::fields::Fields::new(
                concat!("flow.", stringify!($name)),
                &[
                    $($crate::flow::fields::FieldInfo {
                        name: message!(@name $field $($json)?),
                        key: concat!("\"", message!(@name $field $($json)?), "\":"),
                        number: $number,
                        below: <$kind as $crate::flow::json::WriteJson>::BELOW,
                    },)*
                    $($($crate::flow::fields::FieldInfo {
                        name: $member_json,
                        key: concat!("\"", $member_json, "\":"),
                        number: $member_number,
                        below: <$member as $crate::flow::json::WriteJson>::BELOW,
                    },)*)?
                ],
            );

            /// Writes those of the members at `positions` that are set, or selected in part.
            pub(crate) fn write_members(
                &self,
                select: &$crate::flow::fields::Select,
                mut positions: u64,
                out: &mut $crate::flow::json::Out<'_>,
            ) {
                positions &= select.wanted();
                while positions != 0 {
                    let position = positions.trailing_zeros();
                    positions &= positions - 1;
                    match Self::FIELDS.number(position) {
                        $($number => out.selected(
                            concat!(",\"", message!(@name $field $($json)?), "\":"),
                            &self.$field,
                            select.below(position),
                        ),)*
                        $($($member_number => if let Some($choice::$variant(member)) = &self.$slot {
                            out.member(concat!(",\"", $member_json, "\":"), member, select.below(position));
                        },)*)?
                        _ => {}
                    }
                }
            }
        }

        impl<'a> $crate::flow::json::ReadJson<'a> for $name<'a> {
            fn read_json(&mut self, reader: &mut $crate::flow::json::Reader<'a>) -> $crate::flow::json::Result<()> {
                let mut seen = $crate::flow::json::Seen::default();
                let mut more = reader.open_object()?;
                while more {
                    let key = reader.key(&Self::FIELDS, &seen)?;
                    reader.once(&mut seen, key)?;
                    if key.number() == 0 {
                        reader.unknown_field(key, &mut self.unknown)?;
                    } else if !reader.null()? {
                        let read = match key.number() {
                            $($number => self.$field.read_json(reader),)*
                            $($($member_number => {
                                if self.$slot.is_some() {
                                    return Err(reader.second_member(key));
                                }
                                let mut member = <$member>::default();
                                let read = member.read_json(reader);
                                self.$slot = Some($choice::$variant(member));
                                read
                            })*)?
                            _ => Ok(()),
                        };
                        if let Err(error) = read {
                            reader.keep_unknown_name(error, key, &mut self.unknown)?;
                        }
                    }
                    more = reader.more_members()?;
                }
                Ok(())
            }
        }

        impl $crate::flow::json::WriteJson for $name<'_> {
            const BELOW: $crate::flow::fields::Below = $crate::flow::fields::Below::Message(&$name::FIELDS);

            #[inline]
            fn is_unset(&self) -> bool {
                false
            }

            fn write_json(&self, out: &mut $crate::flow::json::Out<'_>) {
                let start = out.position();
                $(out.field(concat!(",\"", message!(@name $field $($json)?), "\":"), &self.$field);)*
                $(match &self.$slot {
                    None => {}
                    $(Some($choice::$variant(member)) => {
                        out.member(concat!(",\"", $member_json, "\":"), member, None);
                    })*
                })?
                out.unknown(&self.unknown);
                out.close(start);
            }

            fn write_part(&self, part: &$crate::flow::fields::Select, out: &mut $crate::flow::json::Out<'_>) {
                let start = out.position();
                self.write_members(part, u64::MAX, out);
                out.unknown_names(&self.unknown, &Self::FIELDS, part);
                out.close(start);
            }
        }

        impl<'a> $name<'a> {
            /// Appends the fields as protobuf.
            pub(crate) fn write_fields(&self, out: &mut Vec<u8>) {
                use $crate::flow::wire::Wire as _;
                $(self.$field.write_wire($number, out);)*
                $(match &self.$slot {
                    None => {}
                    $(Some($choice::$variant(member)) => member.write_wire($member_number, out),)*
                })?
                out.extend_from_slice(self.unknown.wire());
            }

            /// Takes fields from protobuf, over those that are here already.
            pub(crate) fn merge(&mut self, bytes: &'a [u8]) -> std::result::Result<(), $crate::flow::wire::Error> {
                use $crate::flow::wire::Wire as _;
                let mut fields = $crate::flow::wire::Fields::of(bytes);
                while let Some(field) = fields.next()? {
                    match field.number {
                        $($number => self.$field.read_wire(field)?,)*
                        $($($member_number => match &mut self.$slot {
                            Some($choice::$variant(member)) => member.read_wire(field)?,
                            slot => {
                                let mut member = <$member>::default();
                                member.read_wire(field)?;
                                *slot = Some($choice::$variant(member));
                            }
                        },)*)?
                        _ => self.unknown.keep_wire(field.raw),
                    }
                }
                Ok(())
            }
        }

        impl<'a> $crate::flow::wire::Wire<'a> for $name<'a> {
            fn write_wire(&self, number: u32, out: &mut Vec<u8>) {
                $crate::flow::wire::write_nested(number, out, |out| self.write_fields(out));
            }

            fn read_wire(&mut self, field: $crate::flow::wire::Field<'a>) -> std::result::Result<(), $crate::flow::wire::Error> {
                self.merge(field.bytes()?)
            }

            fn write_some(&self, number: u32, out: &mut Vec<u8>) {
                self.write_wire(number, out);
            }

            fn read_some(&mut self, field: $crate::flow::wire::Field<'a>) -> std::result::Result<(), $crate::flow::wire::Error> {
                self.read_wire(field)
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $json:literal) => { $json };
}

pub(crate) use message;
