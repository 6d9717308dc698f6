//! How a long text becomes parts that a channel can send.
