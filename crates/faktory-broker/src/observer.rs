//! What a program that embeds a broker may count.

/// Is told what happens in a broker, for figures. The calls come from the tasks of connections and
/// must not block.
pub trait Observer: Send + Sync {
    /// A client did not know the password.
    fn wrong_password(&self);
}
