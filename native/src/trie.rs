//! The Merkle Patricia trie (yellow paper, appendix D): reading a value, and writing a sorted batch of changes at once.
//!
//! A batch goes down the trie together, so that every changed node is encoded once. Old nodes are never deleted: earlier
//! states stay readable. All keys of one trie have the same length, or none begins another, so no branch has a value.

use crate::keccak::{keccak256, keccak256_all};
use crate::nodes::NodeReader;
use crate::parallel;
use crate::rlp::{self, Fields, Item, RlpError};
use crate::stop::Stop;
use alloy_primitives::{B256, Bytes, b256};

/// The root of a trie without values.
pub const EMPTY_ROOT: B256 = b256!("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");

/// Changes from which the children of the first branch are written on several cores.
const PARALLEL_CHANGES: usize = 64;

/// About how many bytes the encoding of a node has.
const NODE_BYTES: usize = 256;

/// Bytes of the items of a branch that refers to 16 children by their hashes. None refers to one with more bytes, and it has
/// no value, so no other branch has as many.
const FULL_BRANCH_BYTES: usize = 16 * 33 + 1;

/// New nodes by hash.
pub type NewNodes = Vec<(B256, Vec<u8>)>;

/// The path of a key and its new value, empty to delete.
pub type Change<'a> = (Path, &'a [u8]);

/// Nibbles of the longest key.
const MAX_NIBBLES: usize = 64;

/// Nibbles, one a byte. It stands in place: a trie has too many of them for an allocation each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    // Zero beyond the length, so that comparing member by member is comparing the nibbles.
    nibbles: [u8; MAX_NIBBLES],
    length: usize,
}

impl Path {
    /// The path of a key of at most 32 bytes.
    pub fn of(key: &[u8]) -> Self {
        Self::from_nibbles(key.iter().flat_map(|byte| [byte >> 4, byte & 15]))
    }

    fn from_nibbles(from: impl Iterator<Item = u8>) -> Self {
        let mut path = Self { nibbles: [0; MAX_NIBBLES], length: 0 };
        for nibble in from {
            path.nibbles[path.length] = nibble;
            path.length += 1;
        }
        path
    }

    fn from_slice(nibbles: &[u8]) -> Self {
        let mut path = Self { nibbles: [0; MAX_NIBBLES], length: nibbles.len() };
        path.nibbles[..nibbles.len()].copy_from_slice(nibbles);
        path
    }

    fn joined(first: &[u8], rest: &[u8]) -> Self {
        Self::from_nibbles(first.iter().chain(rest).copied())
    }
}

impl std::ops::Deref for Path {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.nibbles[..self.length]
    }
}

/// What refers to a node in its parent.
enum Reference {
    Empty,
    Hash(B256),
    /// The encoding of a node that is shorter than 32 bytes.
    Inline(Vec<u8>),
    /// A node of this batch that is not encoded yet: it may still be merged with its parent.
    Fresh(Box<Node>),
}

impl Reference {
    fn is_empty(&self) -> bool {
        matches!(self, Reference::Empty)
    }
}

/// A decoded node.
enum Node {
    Leaf(Path, Vec<u8>),
    Extension(Path, Reference),
    Branch(Box<[Reference; 16]>),
}

const MALFORMED: Stop = Stop::Unsupported("a trie node is malformed");

fn malformed(_: RlpError) -> Stop {
    MALFORMED
}

/// The value of `key` (a hash) in the trie of `root`; None if it has none.
pub fn lookup(root: B256, key: B256, nodes: &NodeReader) -> Result<Option<Vec<u8>>, Stop> {
    if root == EMPTY_ROOT {
        return Ok(None);
    }
    let path = Path::of(key.as_slice());
    let mut depth = 0;
    let mut encoded = nodes.node(&root)?;
    loop {
        let mut fields = Fields(rlp::decode_list(&encoded).map_err(malformed)?);
        let (first, _, rest) = rlp::split(fields.0).map_err(malformed)?;
        let child = if is_short(rest)? {
            let Item::Bytes(packed) = first else { return Err(MALFORMED) };
            let (part, is_leaf) = unpacked(packed)?;
            if !path[depth..].starts_with(&part) {
                return Ok(None);
            }
            depth += part.len();
            fields.0 = rest;
            if is_leaf {
                let value = fields.bytes().map_err(malformed)?.to_vec();
                return Ok((depth == path.len()).then_some(value));
            }
            reference(&mut fields)?
        } else {
            let nibble = *path.get(depth).ok_or(MALFORMED)?;
            if fields.0.len() == FULL_BRANCH_BYTES {
                fields.0 = &fields.0[33 * usize::from(nibble)..];
            } else {
                for _ in 0..nibble {
                    fields.item().map_err(malformed)?;
                }
            }
            depth += 1;
            reference(&mut fields)?
        };
        encoded = match child {
            Reference::Empty => return Ok(None),
            Reference::Hash(hash) => nodes.node(&hash)?,
            Reference::Inline(node) => Bytes::from(node),
            Reference::Fresh(_) => return Err(MALFORMED),
        };
    }
}

/// Whether a node whose items after the first are `rest` has two of them: a leaf or an extension.
fn is_short(rest: &[u8]) -> Result<bool, Stop> {
    let (_, _, after) = rlp::split(rest).map_err(malformed)?;
    Ok(after.is_empty())
}

fn reference(fields: &mut Fields<'_>) -> Result<Reference, Stop> {
    let (item, whole, rest) = rlp::split(fields.0).map_err(malformed)?;
    fields.0 = rest;
    match item {
        Item::Bytes([]) => Ok(Reference::Empty),
        Item::Bytes(hash) if hash.len() == 32 => Ok(Reference::Hash(B256::from_slice(hash))),
        Item::Bytes(_) => Err(MALFORMED),
        Item::List(_) => Ok(Reference::Inline(whole.to_vec())),
    }
}

fn decoded(encoded: &[u8]) -> Result<Node, Stop> {
    let mut fields = Fields(rlp::decode_list(encoded).map_err(malformed)?);
    let (first, _, rest) = rlp::split(fields.0).map_err(malformed)?;
    if is_short(rest)? {
        let Item::Bytes(packed) = first else { return Err(MALFORMED) };
        let (part, is_leaf) = unpacked(packed)?;
        fields.0 = rest;
        if is_leaf {
            return Ok(Node::Leaf(part, fields.bytes().map_err(malformed)?.to_vec()));
        }
        return Ok(Node::Extension(part, reference(&mut fields)?));
    }
    let mut children = empty_branch();
    for child in children.iter_mut() {
        *child = reference(&mut fields)?;
    }
    if fields.bytes().map_err(malformed)? != b"" {
        return Err(MALFORMED);
    }
    Ok(Node::Branch(children))
}

fn empty_branch() -> Box<[Reference; 16]> {
    Box::new(std::array::from_fn(|_| Reference::Empty))
}

/// The hex-prefix encoding of a path.
struct Packed {
    bytes: [u8; 1 + MAX_NIBBLES / 2],
    length: usize,
}

impl Packed {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn packed(path: &[u8], is_leaf: bool) -> Packed {
    let flag = if is_leaf { 2 } else { 0 };
    let (first, rest) = if path.len() % 2 == 1 { ((flag + 1) << 4 | path[0], &path[1..]) } else { (flag << 4, path) };
    let mut packed = Packed { bytes: [first; 1 + MAX_NIBBLES / 2], length: 1 + rest.len() / 2 };
    for (byte, pair) in packed.bytes[1..].iter_mut().zip(rest.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    packed
}

/// The path of a leaf or an extension, and whether it is a leaf.
fn unpacked(packed: &[u8]) -> Result<(Path, bool), Stop> {
    let &first = packed.first().ok_or(MALFORMED)?;
    let is_odd = first & 0x10 != 0;
    if 2 * (packed.len() - 1) + usize::from(is_odd) > MAX_NIBBLES {
        return Err(MALFORMED);
    }
    let nibbles = packed.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Ok((Path::from_nibbles(nibbles.skip(if is_odd { 1 } else { 2 })), first & 0x20 != 0))
}

fn encoded(node: &Node) -> Vec<u8> {
    let mut out = Vec::new();
    put_node(&mut out, node);
    out
}

/// Append the encoding of `node`.
fn put_node(out: &mut Vec<u8>, node: &Node) {
    match node {
        Node::Leaf(path, value) => put_leaf(out, path, value),
        Node::Extension(path, child) => {
            let path = packed(path, false);
            rlp::put_list_header(out, rlp::bytes_length(path.as_slice()) + reference_length(child));
            rlp::put_bytes(out, path.as_slice());
            put_reference(out, child);
        }
        Node::Branch(children) => {
            rlp::put_list_header(out, 1 + children.iter().map(reference_length).sum::<usize>());
            for child in children.iter() {
                put_reference(out, child);
            }
            out.push(0x80);
        }
    }
}

fn put_leaf(out: &mut Vec<u8>, path: &[u8], value: &[u8]) {
    let path = packed(path, true);
    rlp::put_list_header(out, rlp::bytes_length(path.as_slice()) + rlp::bytes_length(value));
    rlp::put_bytes(out, path.as_slice());
    rlp::put_bytes(out, value);
}

fn reference_length(reference: &Reference) -> usize {
    match reference {
        Reference::Empty => 1,
        Reference::Hash(_) => 33,
        Reference::Inline(node) => node.len(),
        Reference::Fresh(node) => encoded(node).len(),
    }
}

fn put_reference(out: &mut Vec<u8>, reference: &Reference) {
    match reference {
        Reference::Empty => out.push(0x80),
        Reference::Hash(hash) => {
            out.push(0xa0);
            out.extend_from_slice(&hash.0);
        }
        Reference::Inline(node) => out.extend_from_slice(node),
        Reference::Fresh(node) => put_node(out, node),
    }
}

/// Where a batch reads the nodes that it changes.
pub enum Source<'a> {
    /// The node store.
    Stored(&'a NodeReader),
    /// Nowhere: the trie is new.
    Nothing,
}

impl Source<'_> {
    fn load(&self, reference: Reference) -> Result<Option<Node>, Stop> {
        match (reference, self) {
            (Reference::Empty, _) => Ok(None),
            (Reference::Fresh(node), _) => Ok(Some(*node)),
            (Reference::Inline(node), _) => decoded(&node).map(Some),
            (Reference::Hash(hash), Source::Stored(nodes)) => decoded(&nodes.node(&hash)?).map(Some),
            (Reference::Hash(_), Source::Nothing) => Err(MALFORMED),
        }
    }

    /// Keep a new node for the store. That of a trie without one is needed no more.
    fn keep(&self, hash: B256, encoded: &[u8], new: &mut NewNodes) {
        if matches!(self, Source::Stored(_)) {
            new.push((hash, encoded.to_vec()));
        }
    }
}

/// The root after `changes`, sorted by key, on the trie of `root`. New nodes are appended to `new`.
pub fn update(root: B256, changes: &[Change<'_>], source: &Source<'_>, new: &mut NewNodes) -> Result<B256, Stop> {
    if changes.is_empty() {
        return Ok(root);
    }
    let old = if root == EMPTY_ROOT { None } else { source.load(Reference::Hash(root))? };
    match changed(old, changes, 0, source, new)? {
        None => Ok(EMPTY_ROOT),
        Some(node) => {
            let encoded = encoded(&node);
            let hash = keccak256(&encoded);
            source.keep(hash, &encoded, new);
            Ok(hash)
        }
    }
}

/// The root of a list as a header commits to it: each value under its RLP-encoded position.
pub fn ordered_root<V: AsRef<[u8]>>(values: &[V]) -> B256 {
    // The key of 0 is 0x80: behind those of 1 to 127, which are the numbers themselves, and before all others.
    let firsts = 1..values.len().min(128);
    let positions = firsts.chain((!values.is_empty()).then_some(0)).chain(128..values.len());
    let mut key = Vec::with_capacity(9);
    let changes: Vec<Change<'_>> = positions
        .map(|position| {
            key.clear();
            rlp::put_number(&mut key, alloy_primitives::U256::from(position));
            (Path::of(&key), values[position].as_ref())
        })
        .collect();
    // A new trie reads nothing, so nothing can be missing.
    update(EMPTY_ROOT, &changes, &Source::Nothing, &mut Vec::new()).unwrap_or(B256::ZERO)
}

/// What stands for `node` in its parent.
fn referred(node: &Node, source: &Source<'_>, new: &mut NewNodes) -> Reference {
    let encoded = encoded(node);
    if encoded.len() < 32 {
        return Reference::Inline(encoded);
    }
    let hash = keccak256(&encoded);
    source.keep(hash, &encoded, new);
    Reference::Hash(hash)
}

/// Let `children` refer to the `fresh` ones too. All that are not encoded yet are hashed together.
fn refer_to_all(children: &mut [Reference; 16], fresh: Vec<Fresh<'_>>, source: &Source<'_>, new: &mut NewNodes) {
    // One after another: a new list has thousands of nodes, and none of them is needed once it is hashed.
    let mut encodings = Vec::with_capacity(NODE_BYTES * fresh.len());
    let mut places = Vec::with_capacity(children.len());
    for Fresh { nibble, below } in fresh {
        children[nibble] = Reference::Empty;
        if let Some(below) = below {
            let start = encodings.len();
            below.put(&mut encodings);
            places.push((nibble, start..encodings.len()));
        }
    }
    for (nibble, child) in children.iter().enumerate() {
        if let Reference::Fresh(node) = child {
            let start = encodings.len();
            put_node(&mut encodings, node);
            places.push((nibble, start..encodings.len()));
        }
    }
    let inputs: Vec<&[u8]> = places.iter().map(|(_, place)| &encodings[place.clone()]).collect();
    for (((nibble, _), encoded), hash) in places.iter().zip(&inputs).zip(keccak256_all(&inputs)) {
        if encoded.len() < 32 {
            children[*nibble] = Reference::Inline(encoded.to_vec());
        } else {
            children[*nibble] = Reference::Hash(hash);
            source.keep(hash, encoded, new);
        }
    }
}

/// `node`, which stands `depth` nibbles down, after `changes`, which are sorted and not empty.
fn changed(
    node: Option<Node>,
    changes: &[Change<'_>],
    depth: usize,
    source: &Source<'_>,
    new: &mut NewNodes,
) -> Result<Option<Node>, Stop> {
    match node {
        // A new list deletes nothing: its values are not copied on every level.
        None if changes.iter().all(|change| !change.1.is_empty()) => built(changes, depth, source, new),
        None => {
            let kept: Vec<Change<'_>> = changes.iter().filter(|change| !change.1.is_empty()).cloned().collect();
            built(&kept, depth, source, new)
        }
        Some(Node::Branch(children)) => changed_branch(children, changes, depth, source, new),
        Some(Node::Leaf(part, value)) => changed_leaf(&part, &value, changes, depth, source, new),
        Some(Node::Extension(part, child)) => {
            let all_within = [changes.first(), changes.last()]
                .into_iter()
                .flatten()
                .all(|(path, _)| path.get(depth..).is_some_and(|rest| rest.starts_with(&part)));
            if all_within {
                let child = changed(source.load(child)?, changes, depth + part.len(), source, new)?;
                return Ok(extended(&part, child, source, new));
            }
            // Some change leaves the path of the extension: it becomes a branch with one child.
            let mut children = empty_branch();
            let rest = Path::from_slice(&part[1..]);
            children[usize::from(part[0])] =
                if rest.is_empty() { child } else { Reference::Fresh(Box::new(Node::Extension(rest, child))) };
            changed_branch(children, changes, depth, source, new)
        }
    }
}

fn changed_leaf(
    part: &[u8],
    value: &[u8],
    changes: &[Change<'_>],
    depth: usize,
    source: &Source<'_>,
    new: &mut NewNodes,
) -> Result<Option<Node>, Stop> {
    let path = Path::joined(&changes[0].0[..depth], part);
    let mut kept: Vec<Change<'_>> = changes.iter().filter(|change| !change.1.is_empty()).cloned().collect();
    if let Err(place) = changes.binary_search_by(|change| change.0.cmp(&path)) {
        // The leaf itself is not among the changes: it stays.
        let place = changes[..place].iter().filter(|change| !change.1.is_empty()).count();
        kept.insert(place, (path, value));
    }
    built(&kept, depth, source, new)
}

/// The changes below one child of a branch, and the child.
struct Group<'a> {
    nibble: usize,
    child: Reference,
    changes: &'a [Change<'a>],
}

impl<'a> Group<'a> {
    fn changed(self, depth: usize, source: &Source<'_>, new: &mut NewNodes) -> Result<Fresh<'a>, Stop> {
        let Self { nibble, child, changes } = self;
        let below = match (child, changes) {
            (Reference::Empty, [(path, value)]) if !value.is_empty() => {
                Some(Below::Leaf { path: &path[depth + 1..], value })
            }
            (child, changes) => changed(source.load(child)?, changes, depth + 1, source, new)?.map(Below::Node),
        };
        Ok(Fresh { nibble, below })
    }
}

/// A child of a branch after the changes; None if it is gone.
struct Fresh<'a> {
    nibble: usize,
    below: Option<Below<'a>>,
}

/// A node that is not encoded yet. Most new ones are leaves, whose value need not be copied for that.
enum Below<'a> {
    Leaf { path: &'a [u8], value: &'a [u8] },
    Node(Node),
}

impl Below<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Below::Leaf { path, value } => put_leaf(out, path, value),
            Below::Node(node) => put_node(out, node),
        }
    }

    fn into_node(self) -> Node {
        match self {
            Below::Leaf { path, value } => Node::Leaf(Path::from_slice(path), value.to_vec()),
            Below::Node(node) => node,
        }
    }
}

fn changed_branch(
    mut children: Box<[Reference; 16]>,
    changes: &[Change<'_>],
    depth: usize,
    source: &Source<'_>,
    new: &mut NewNodes,
) -> Result<Option<Node>, Stop> {
    let mut groups = Vec::with_capacity(changes.len().min(children.len()));
    for changes in changes.chunk_by(|left, right| left.0[depth] == right.0[depth]) {
        let nibble = usize::from(changes[0].0[depth]);
        let child = std::mem::replace(&mut children[nibble], Reference::Empty);
        groups.push(Group { nibble, child, changes });
    }
    let fresh = if depth == 0 && changes.len() >= PARALLEL_CHANGES {
        in_parallel(groups, depth, source, new)?
    } else {
        let mut fresh = Vec::with_capacity(groups.len());
        for group in groups {
            fresh.push(group.changed(depth, source, new)?);
        }
        fresh
    };
    settled(children, fresh, source, new)
}

/// The changed children of `groups`, on several cores.
fn in_parallel<'a>(
    groups: Vec<Group<'a>>,
    depth: usize,
    source: &Source<'_>,
    new: &mut NewNodes,
) -> Result<Vec<Fresh<'a>>, Stop> {
    let results = parallel::map(groups, |group| {
        let mut new = Vec::new();
        Ok::<_, Stop>((group.changed(depth, source, &mut new)?, new))
    });
    let results = results.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(results
        .into_iter()
        .map(|(fresh, nodes)| {
            new.extend(nodes);
            fresh
        })
        .collect())
}

/// A branch with its changed children; something smaller if fewer than two children are left.
fn settled(
    mut children: Box<[Reference; 16]>,
    fresh: Vec<Fresh<'_>>,
    source: &Source<'_>,
    new: &mut NewNodes,
) -> Result<Option<Node>, Stop> {
    let unchanged = children.iter().filter(|child| !child.is_empty()).count();
    let kept = fresh.iter().filter(|child| child.below.is_some()).count();
    if unchanged + kept >= 2 {
        refer_to_all(&mut children, fresh, source, new);
        return Ok(Some(Node::Branch(children)));
    }
    if let Some(Fresh { nibble, below }) = fresh.into_iter().find(|child| child.below.is_some()) {
        return Ok(extended(&[nibble as u8], below.map(Below::into_node), source, new));
    }
    let Some(nibble) = children.iter().position(|child| !child.is_empty()) else { return Ok(None) };
    let node = source.load(std::mem::replace(&mut children[nibble], Reference::Empty))?;
    Ok(extended(&[nibble as u8], node, source, new))
}

/// `child` with `part` before its path.
fn extended(part: &[u8], child: Option<Node>, source: &Source<'_>, new: &mut NewNodes) -> Option<Node> {
    Some(match child? {
        Node::Leaf(path, value) => Node::Leaf(Path::joined(part, &path), value),
        Node::Extension(path, child) => Node::Extension(Path::joined(part, &path), child),
        branch => Node::Extension(Path::from_slice(part), referred(&branch, source, new)),
    })
}

/// A new subtree of `entries`, which are sorted and without deletions.
fn built(entries: &[Change<'_>], depth: usize, source: &Source<'_>, new: &mut NewNodes) -> Result<Option<Node>, Stop> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(None) };
    if entries.len() == 1 {
        return Ok(Some(Node::Leaf(Path::from_slice(&first.0[depth..]), first.1.to_vec())));
    }
    let shared = first.0[depth..].iter().zip(&last.0[depth..]).take_while(|(left, right)| left == right).count();
    let branch = changed_branch(empty_branch(), entries, depth + shared, source, new)?;
    if shared == 0 {
        return Ok(branch);
    }
    Ok(extended(&first.0[depth..depth + shared], branch, source, new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::tests::reader_of;

    #[test]
    fn paths_are_packed_and_unpacked() {
        for length in 0..5usize {
            for is_leaf in [false, true] {
                let path = Path::from_nibbles(0..length as u8);
                let (unpacked, leaf) = unpacked(packed(&path, is_leaf).as_slice()).unwrap();
                assert!(unpacked == path && leaf == is_leaf);
            }
        }
    }

    #[test]
    fn a_list_without_values_has_the_empty_root() {
        assert_eq!(ordered_root::<Vec<u8>>(&[]), EMPTY_ROOT);
    }

    #[test]
    fn deleting_what_was_never_there_leaves_nothing() {
        let changes = vec![(Path::of(&[1; 32]), &[][..])];
        let mut new = Vec::new();
        assert_eq!(update(EMPTY_ROOT, &changes, &Source::Nothing, &mut new).unwrap(), EMPTY_ROOT);
        assert!(new.is_empty());
    }

    #[test]
    fn each_value_is_found_below_full_branches_and_others() {
        let numbers: Vec<[u8; 2]> = (0..1_000u16).map(u16::to_be_bytes).collect();
        let mut keys: Vec<(B256, &[u8])> = numbers.iter().map(|number| (keccak256(number), &number[..])).collect();
        keys.sort_unstable();
        let changes: Vec<Change<'_>> = keys.iter().map(|(key, value)| (Path::of(key.as_slice()), *value)).collect();
        let mut new = Vec::new();
        let root = update(EMPTY_ROOT, &changes, &Source::Nothing, &mut new).unwrap();
        assert!(new.is_empty());
        let reader = reader_of(&[]);
        assert_eq!(update(EMPTY_ROOT, &changes, &Source::Stored(&reader), &mut new).unwrap(), root);
        let is_full = |node: &[u8]| rlp::decode_list(node).unwrap().len() == FULL_BRANCH_BYTES;
        assert!(new.iter().any(|(_, node)| is_full(node)) && new.iter().any(|(_, node)| !is_full(node)));
        let reader = reader_of(&new);
        for (key, value) in keys {
            assert_eq!(lookup(root, key, &reader).unwrap().unwrap(), value);
        }
        assert_eq!(lookup(root, keccak256(b"other"), &reader).unwrap(), None);
    }

    #[test]
    fn no_bytes_make_the_decoder_of_nodes_panic() {
        let leaf = encoded(&Node::Leaf(Path::from_slice(&[1, 2, 3]), vec![7; 70]));
        let extension = encoded(&Node::Extension(Path::of(&[4; 3]), Reference::Hash(B256::repeat_byte(9))));
        let mut children = empty_branch();
        children[3] = Reference::Hash(B256::repeat_byte(8));
        children[9] = Reference::Inline(encoded(&Node::Leaf(Path::from_slice(&[1]), vec![2])));
        let branch = encoded(&Node::Branch(children));
        crate::random_inputs::try_all(&[leaf, extension, branch], |input| {
            if let Ok(node) = decoded(input) {
                encoded(&node);
            }
        });
    }
}
