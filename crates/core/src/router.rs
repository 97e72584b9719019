//! From a topic to whoever wants it: a map of literal topics beside a trie of wildcards.

use std::ops::ControlFlow;

use foldhash::{HashMap, HashMapExt};
use skep_protocol::{Filter, Topic};

/// Filters, each with values of whoever declared it.
#[derive(Debug)]
pub struct Router<T> {
    literals: HashMap<Box<str>, Vec<T>>,
    wildcards: Node<T>,
    /// Without a wildcard the trie is never walked.
    wildcards_count: usize,
}

#[derive(Debug)]
struct Node<T> {
    children: HashMap<Box<str>, Node<T>>,
    /// The child for `*`.
    any: Option<Box<Node<T>>>,
    /// Filters that end here.
    here: Vec<T>,
    /// Filters that end here with `>`.
    rest: Vec<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Node { children: HashMap::new(), any: None, here: Vec::new(), rest: Vec::new() }
    }
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Router { literals: HashMap::new(), wildcards: Node::default(), wildcards_count: 0 }
    }
}

impl<T> Router<T> {
    /// Adds a value under a filter. The same may be added more than once.
    pub fn insert(&mut self, filter: &Filter, value: T) {
        if filter.is_literal() {
            return self.literals.entry(filter.as_str().into()).or_default().push(value);
        }
        self.wildcards_count += 1;
        let mut node = &mut self.wildcards;
        for token in filter.as_str().split('.') {
            node = match token {
                ">" => return node.rest.push(value),
                "*" => node.any.get_or_insert_default(),
                _ => node.children.entry(token.into()).or_default(),
            };
        }
        node.here.push(value);
    }

    /// Removes one value under a filter, the first for which `is` holds.
    pub fn remove(&mut self, filter: &Filter, is: impl Fn(&T) -> bool) -> Option<T> {
        if filter.is_literal() {
            let values = self.literals.get_mut(filter.as_str())?;
            let removed = take_first(values, is);
            if values.is_empty() {
                self.literals.remove(filter.as_str());
            }
            return removed;
        }
        let tokens: Vec<&str> = filter.as_str().split('.').collect();
        let removed = self.wildcards.remove(&tokens, &is);
        self.wildcards_count -= usize::from(removed.is_some());
        removed
    }

    /// Calls `step` with every value whose filter matches, in no order, and with none at every
    /// branch of the trie in between; a value added under several filters is met several times.
    /// So the caller can count what the walk costs, whatever it finds, and break it off.
    pub fn visit<'a>(
        &'a self,
        topic: &str,
        step: &mut impl FnMut(Option<&'a T>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if let Some(values) = self.literals.get(topic) {
            values.iter().map(Some).try_for_each(&mut *step)?;
        }
        if self.wildcards_count > 0 {
            self.wildcards.visit(topic, !Topic::is_reserved(topic), step)?;
        }
        ControlFlow::Continue(())
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wildcards_count == 0 && self.literals.is_empty()
    }
}

fn take_first<T>(values: &mut Vec<T>, is: impl Fn(&T) -> bool) -> Option<T> {
    values.iter().position(is).map(|at| values.remove(at))
}

impl<T> Node<T> {
    /// `wild` is false at the root for topics of the hub: a leading wildcard never matches them.
    fn visit<'a>(
        &'a self,
        rest: &str,
        wild: bool,
        step: &mut impl FnMut(Option<&'a T>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        step(None)?;
        if wild {
            self.rest.iter().map(Some).try_for_each(&mut *step)?;
        }
        let (token, after) = match rest.split_once('.') {
            Some((token, after)) => (token, Some(after)),
            None => (rest, None),
        };
        let next = [self.children.get(token), self.any.as_deref().filter(|_| wild)];
        for node in next.into_iter().flatten() {
            match after {
                Some(after) => node.visit(after, true, step)?,
                None => node.here.iter().map(Some).try_for_each(&mut *step)?,
            }
        }
        ControlFlow::Continue(())
    }

    fn remove(&mut self, tokens: &[&str], is: &impl Fn(&T) -> bool) -> Option<T> {
        let Some((token, after)) = tokens.split_first() else {
            return take_first(&mut self.here, is);
        };
        match *token {
            ">" => take_first(&mut self.rest, is),
            "*" => {
                let child = self.any.as_deref_mut()?;
                let removed = child.remove(after, is);
                if child.is_empty() {
                    self.any = None;
                }
                removed
            }
            token => {
                let child = self.children.get_mut(token)?;
                let removed = child.remove(after, is);
                if child.is_empty() {
                    self.children.remove(token);
                }
                removed
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.any.is_none() && self.here.is_empty() && self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(router: &Router<usize>, topic: &str) -> Vec<usize> {
        let mut all = Vec::new();
        let walked = router.visit(topic, &mut |n| {
            all.extend(n);
            ControlFlow::Continue(())
        });
        assert!(walked.is_continue());
        all.sort_unstable();
        all
    }

    proptest! {
        /// The naive model: ask every filter.
        #[test]
        fn the_trie_finds_what_every_filter_alone_would_match(
            filters in proptest::collection::vec("(\\$s|[ab*])(\\.[ab*]){0,3}(\\.>)?|>", 1..12),
            topics in proptest::collection::vec("(\\$s|[ab])(\\.[ab]){0,4}", 1..12),
            removed in proptest::collection::vec(any::<bool>(), 12),
        ) {
            let filters: Vec<Filter> = filters.iter().map(|f| Filter::new(f).unwrap()).collect();
            let mut router = Router::default();
            for (n, filter) in filters.iter().enumerate() {
                router.insert(filter, n);
            }
            for (n, filter) in filters.iter().enumerate().filter(|(n, _)| removed[*n]) {
                prop_assert_eq!(router.remove(filter, |value| *value == n), Some(n));
            }
            for topic in &topics {
                let expected: Vec<usize> =
                    (0..filters.len()).filter(|n| !removed[*n] && filters[*n].matches(topic)).collect();
                prop_assert_eq!(found(&router, topic), expected, "{}", topic);
            }
        }
    }

    #[test]
    fn a_walk_can_be_counted_and_broken_off_though_nothing_matches() {
        let mut router = Router::default();
        for n in 0..1 << 6 {
            let tokens: Vec<&str> = (0..6).map(|bit| if n >> bit & 1 == 0 { "a" } else { "*" }).collect();
            router.insert(&Filter::new(&format!("{}.b", tokens.join("."))).unwrap(), n);
        }
        let walk = |most: usize| {
            let mut steps = 0;
            let walked = router.visit("a.a.a.a.a.a.a", &mut |n| {
                assert_eq!(n, None);
                steps += 1;
                if steps < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            (steps, walked.is_break())
        };
        assert_eq!(walk(1000), (126, false), "every branch is a step; one filter is literal");
        assert_eq!(walk(10), (10, true));
    }

    #[test]
    fn what_is_removed_leaves_no_trace() {
        let mut router = Router::default();
        for filter in ["a.b", "a.*.c", "a.>", ">"] {
            let filter = Filter::new(filter).unwrap();
            router.insert(&filter, 1);
            router.remove(&filter, |_| true).unwrap();
        }
        assert!(router.is_empty() && router.wildcards.is_empty());
    }
}
