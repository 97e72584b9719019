//! Who a party is: the local token.
