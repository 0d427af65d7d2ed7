//! Trees of objects: red-black trees, as `struct bpf_rb_root` and `struct bpf_rb_node` have them.
//!
//! Programs see the root of a tree and what lies to the left and right of a node, so the tree has the shape that
//! Linux's has: the balancing is that of `lib/rbtree.c`. A root is two words, the root's node and the least node. A node
//! is four: its parent with its colour in the lowest bit, its right child, its left child, and whose it is.

use super::kfuncs;
use crate::helpers::errno::{EINVAL, fail};
use crate::{Fault, HelperResult, Machine};

const PARENT: u64 = 0;
const RIGHT: u64 = 8;
const LEFT: u64 = 16;
const OWNER: u64 = 24;

/// Where a root has its node, and its least node.
const TOP: u64 = 0;
const LEAST: u64 = 8;

const RED: u64 = 0;
const BLACK: u64 = 1;

/// A tree of more nodes than memory has is this deep at most; what is deeper is damaged.
const MOST_STEPS: u32 = 256;

/// A tree in the program's memory.
struct Tree<'t, 'run> {
    machine: &'t mut Machine<'run>,
    root: u64,
    steps: u32,
}

impl<'t, 'run> Tree<'t, 'run> {
    fn at(machine: &'t mut Machine<'run>, root: u64) -> Self {
        Tree { machine, root, steps: 0 }
    }

    fn get(&self, at: u64, word: u64) -> Result<u64, Fault> {
        self.machine.memory.read::<8>(at.wrapping_add(word))
    }

    fn set(&mut self, at: u64, word: u64, value: u64) -> Result<(), Fault> {
        self.machine.memory.write::<8>(at.wrapping_add(word), value)
    }

    fn parent(&self, node: u64) -> Result<u64, Fault> {
        Ok(self.get(node, PARENT)? & !BLACK)
    }

    fn set_parent(&mut self, node: u64, parent: u64) -> Result<(), Fault> {
        let colour = self.get(node, PARENT)? & BLACK;
        self.set(node, PARENT, parent | colour)
    }

    /// What is not there is black.
    fn is_black(&self, node: u64) -> Result<bool, Fault> {
        Ok(node == 0 || self.get(node, PARENT)? & BLACK == BLACK)
    }

    /// Counts a step up or down; a damaged tree has no end.
    fn step(&mut self) -> Result<(), Fault> {
        self.steps += 1;
        if self.steps > MOST_STEPS { Err(Machine::no_object(self.root)) } else { Ok(()) }
    }

    /// Puts `new` where `old` is, below `parent`.
    fn change_child(&mut self, old: u64, new: u64, parent: u64) -> Result<(), Fault> {
        match parent {
            0 => self.set(self.root, TOP, new),
            parent if self.get(parent, LEFT)? == old => self.set(parent, LEFT, new),
            parent => self.set(parent, RIGHT, new),
        }
    }

    /// Gives `new` the parent and colour of `old`, which becomes its child of this colour.
    fn rotate(&mut self, old: u64, new: u64, colour: u64) -> Result<(), Fault> {
        let parent = self.parent(old)?;
        let word = self.get(old, PARENT)?;
        self.set(new, PARENT, word)?;
        self.set(old, PARENT, new | colour)?;
        self.change_child(old, new, parent)
    }

    /// The least node below a node.
    fn least(&mut self, mut node: u64) -> Result<u64, Fault> {
        loop {
            let left = self.get(node, LEFT)?;
            if left == 0 {
                return Ok(node);
            }
            self.step()?;
            node = left;
        }
    }

    /// The node that follows in order, or null.
    fn next(&mut self, mut node: u64) -> Result<u64, Fault> {
        let right = self.get(node, RIGHT)?;
        if right != 0 {
            return self.least(right);
        }
        loop {
            let parent = self.parent(node)?;
            if parent == 0 || self.get(parent, RIGHT)? != node {
                return Ok(parent);
            }
            self.step()?;
            node = parent;
        }
    }

    /// Puts a node below a parent, and balances.
    fn insert(&mut self, node: u64, parent: u64, side: u64) -> Result<(), Fault> {
        self.set(node, PARENT, parent | RED)?;
        self.set(node, LEFT, 0)?;
        self.set(node, RIGHT, 0)?;
        match parent {
            0 => self.set(self.root, TOP, node)?,
            parent => self.set(parent, side, node)?,
        }
        let (mut node, mut parent) = (node, parent);
        loop {
            self.step()?;
            if parent == 0 {
                return self.set(node, PARENT, BLACK);
            }
            if self.is_black(parent)? {
                return Ok(());
            }
            // A red node has a parent.
            let above = self.parent(parent)?;
            let (near, far) = if self.get(above, RIGHT)? == parent { (RIGHT, LEFT) } else { (LEFT, RIGHT) };
            let uncle = self.get(above, far)?;
            if !self.is_black(uncle)? {
                self.set(uncle, PARENT, above | BLACK)?;
                self.set(parent, PARENT, above | BLACK)?;
                node = above;
                parent = self.parent(node)?;
                self.set(node, PARENT, parent | RED)?;
                continue;
            }
            let mut child = self.get(parent, far)?;
            if node == child {
                child = self.get(node, near)?;
                self.set(parent, far, child)?;
                self.set(node, near, parent)?;
                if child != 0 {
                    self.set(child, PARENT, parent | BLACK)?;
                }
                self.set(parent, PARENT, node | RED)?;
                parent = node;
                child = self.get(node, far)?;
            }
            self.set(above, near, child)?;
            self.set(parent, far, above)?;
            if child != 0 {
                self.set(child, PARENT, above | BLACK)?;
            }
            return self.rotate(above, parent, RED);
        }
    }

    /// Takes a node out, and balances.
    fn erase(&mut self, node: u64) -> Result<(), Fault> {
        if self.get(self.root, LEAST)? == node {
            let next = self.next(node)?;
            self.set(self.root, LEAST, next)?;
        }
        let (left, right) = (self.get(node, LEFT)?, self.get(node, RIGHT)?);
        let word = self.get(node, PARENT)?;
        let above = word & !BLACK;
        let unbalanced = if left == 0 || right == 0 {
            let child = left | right;
            self.change_child(node, child, above)?;
            if child == 0 {
                if word & BLACK == BLACK { above } else { 0 }
            } else {
                // An only child is red, and takes the node's place and colour.
                self.set(child, PARENT, word)?;
                0
            }
        } else {
            let successor = self.least(right)?;
            let child = self.get(successor, RIGHT)?;
            let parent = if successor == right {
                successor
            } else {
                let parent = self.parent(successor)?;
                self.set(parent, LEFT, child)?;
                self.set(successor, RIGHT, right)?;
                self.set_parent(right, successor)?;
                parent
            };
            self.set(successor, LEFT, left)?;
            self.set_parent(left, successor)?;
            self.change_child(node, successor, above)?;
            let was_black = self.is_black(successor)?;
            self.set(successor, PARENT, word)?;
            if child != 0 {
                self.set(child, PARENT, parent | BLACK)?;
                0
            } else if was_black {
                parent
            } else {
                0
            }
        };
        if unbalanced == 0 { Ok(()) } else { self.balance(unbalanced) }
    }

    /// Makes good that below `parent` one side lacks a black node.
    fn balance(&mut self, mut parent: u64) -> Result<(), Fault> {
        let mut node = 0;
        loop {
            self.step()?;
            let (near, far) = if self.get(parent, RIGHT)? == node { (RIGHT, LEFT) } else { (LEFT, RIGHT) };
            let mut sibling = self.get(parent, far)?;
            if !self.is_black(sibling)? {
                let child = self.get(sibling, near)?;
                self.set(parent, far, child)?;
                self.set(sibling, near, parent)?;
                self.set(child, PARENT, parent | BLACK)?;
                self.rotate(parent, sibling, RED)?;
                sibling = child;
            }
            let mut outer = self.get(sibling, far)?;
            if self.is_black(outer)? {
                let inner = self.get(sibling, near)?;
                if self.is_black(inner)? {
                    self.set(sibling, PARENT, parent | RED)?;
                    if !self.is_black(parent)? {
                        let above = self.parent(parent)?;
                        return self.set(parent, PARENT, above | BLACK);
                    }
                    node = parent;
                    parent = self.parent(node)?;
                    if parent == 0 {
                        return Ok(());
                    }
                    continue;
                }
                let child = self.get(inner, far)?;
                self.set(sibling, near, child)?;
                self.set(inner, far, sibling)?;
                self.set(parent, far, inner)?;
                if child != 0 {
                    self.set(child, PARENT, sibling | BLACK)?;
                }
                outer = sibling;
                sibling = inner;
            }
            let inner = self.get(sibling, near)?;
            self.set(parent, far, inner)?;
            self.set(sibling, near, parent)?;
            self.set(outer, PARENT, sibling | BLACK)?;
            if inner != 0 {
                self.set_parent(inner, parent)?;
            }
            return self.rotate(parent, sibling, BLACK);
        }
    }
}

/// Puts a node where `less` says, before what it is less than.
fn add(machine: &mut Machine<'_>, root: u64, node: u64, less: u64) -> HelperResult {
    let owner = machine.memory.read::<8>(node.wrapping_add(OWNER))?;
    if owner != 0 {
        machine.release_object(node)?;
        return fail(EINVAL);
    }
    let (mut parent, mut side, mut is_least) = (0, LEFT, true);
    let mut place = machine.memory.read::<8>(root.wrapping_add(TOP))?;
    let mut steps = 0;
    while place != 0 {
        steps += 1;
        if steps > MOST_STEPS {
            return Err(Machine::no_object(root).into());
        }
        parent = place;
        side = if machine.call_back(less, [node, parent, 0, 0, 0])? != 0 { LEFT } else { RIGHT };
        is_least &= side == LEFT;
        place = machine.memory.read::<8>(parent.wrapping_add(side))?;
    }
    let mut tree = Tree::at(machine, root);
    if is_least {
        tree.set(root, LEAST, node)?;
    }
    tree.insert(node, parent, side)?;
    tree.set(node, OWNER, root)?;
    Ok(0)
}

/// A word of a node of this tree; null for a node that is not in it.
fn word(machine: &Machine<'_>, root: u64, node: u64, word: u64) -> HelperResult {
    let owner = machine.memory.read::<8>(node.wrapping_add(OWNER))?;
    if owner != root {
        return Ok(0);
    }
    Ok(machine.memory.read::<8>(node.wrapping_add(word))?)
}

kfuncs! {
    pub(super) static KFUNCS;

    fn bpf_rbtree_add_impl(machine, root, node, less) {
        add(machine, root, node, less)
    }

    fn bpf_rbtree_remove(machine, root, node) {
        if machine.memory.read::<8>(node.wrapping_add(OWNER))? != root {
            return Ok(0);
        }
        let mut tree = Tree::at(machine, root);
        tree.erase(node)?;
        // A node in no tree is its own parent.
        tree.set(node, PARENT, node)?;
        tree.set(node, OWNER, 0)?;
        Ok(node)
    }

    fn bpf_rbtree_first(machine, root) {
        Ok(machine.memory.read::<8>(root.wrapping_add(LEAST))?)
    }

    fn bpf_rbtree_root(machine, root) {
        Ok(machine.memory.read::<8>(root.wrapping_add(TOP))?)
    }

    fn bpf_rbtree_left(machine, root, node) {
        word(machine, root, node, LEFT)
    }

    fn bpf_rbtree_right(machine, root, node) {
        word(machine, root, node, RIGHT)
    }
}
