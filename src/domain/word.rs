//! `words!`: an enum whose variants are written one way everywhere: column, JSON, screen and metric.

/// A string that is not one of the words expected of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a {noun}: expected one of {expected}")]
pub struct UnknownWord {
    /// What was being read.
    pub noun: &'static str,
    /// What was found instead.
    pub found: String,
    /// The words that are known, separated by commas.
    pub expected: String,
}

/// Declares an enum together with its words: `as_str`, `Display`, `FromStr`, serde and `ALL` are derived from
/// the one list.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $noun:literal, { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every variant, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it, the same in columns, JSON, metrics and on the screen.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::word::UnknownWord;
            fn from_str(found: &str) -> Result<Self, Self::Err> {
                match found {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::domain::word::UnknownWord {
                        noun: $noun,
                        found: found.to_owned(),
                        expected: [$($word),+].join(", "),
                    }),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use words;
