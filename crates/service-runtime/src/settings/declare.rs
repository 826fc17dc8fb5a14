//! The macro by which a component declares its settings.
//!
//! An entry says everything about one variable:
//!
//! ```text
//! /// Jobs run at once.
//! concurrency: usize = "WORKER_CONCURRENCY" or "50", count(10_000);
//! ```
//!
//! The doc comment is the variable's meaning, for people too; then come the field of the settings
//! and its type, the variable, the default (none without `or`), and the parser. The macro makes of
//! the entries: the struct with a public field each, the registry `VARIABLES` (from which the
//! documents, the check for misspelt names and the tests are made), `read`, `in_effect` for the
//! log, and `Default`.
//!
//! Fields under `made of them` stand for no variable of their own, such as a certificate that two
//! files give; `read` leaves them empty and the component fills them.

macro_rules! settings {
    (
        $(#[$about:meta])*
        pub struct $settings:ident {
            $(
                $(#[doc = $meaning:literal])+
                $field:ident: $type:ty = $name:literal $(or $default:literal)?, $parser:expr;
            )+
        }
        $(made of them {
            $( $(#[$note:meta])+ $made:ident: $made_type:ty; )+
        })?
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        pub struct $settings {
            $( $(#[doc = $meaning])+ pub $field: $type, )+
            $($( $(#[$note])+ pub $made: $made_type, )+)?
        }

        impl $settings {
            /// The registry of these variables.
            pub(crate) const VARIABLES: &'static [$crate::settings::variable::Variable] = &[$(
                $crate::settings::variable::Variable {
                    name: $name,
                    default: concat!("" $(, $default)?),
                    meaning: concat!($($meaning),+).trim_ascii(),
                }
            ),+];

            /// Reads every variable; a faulty one is told to the reader and has its default here.
            pub(crate) fn read(reader: &mut $crate::settings::reader::Reader<'_>) -> Self {
                /// The variables' texts as envy reads them.
                #[derive(Default, serde::Deserialize)]
                struct Texts { $( $field: Option<String>, )+ }

                let texts: Texts = reader.texts(&[$( (stringify!($field), $name) ),+]);
                Self {
                    $( $field: reader.value(
                        $name, texts.$field, concat!("" $(, $default)?), $parser,
                    ), )+
                    $($( $made: Default::default(), )+)?
                }
            }

            /// Each variable's value in effect, for the log; secrets are hidden.
            pub(crate) fn in_effect(&self) -> Vec<(&'static str, String)> {
                use $crate::settings::show::Show;
                vec![$( ($name, self.$field.show()) ),+]
            }
        }

        impl Default for $settings {
            fn default() -> Self {
                let nothing_set = $crate::environment::Environment::default();
                let mut reader = $crate::settings::reader::Reader::new(&nothing_set);
                Self::read(&mut reader)
            }
        }
    };
}

pub(super) use settings;
