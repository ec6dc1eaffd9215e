package mem

import (
	"bytes"
	"math/rand/v2"

	"github.com/muster-release/muster/store"
)

// node is a treap that is never changed: put and remove return another root and
// copy only the nodes on the way to the key, so that every root that somebody
// holds stays a view of its moment. A node's prio is above those of its
// children; being random, it keeps the tree balanced.
type node struct {
	key, value  []byte
	prio        uint64
	left, right *node
}

func (n *node) get(key []byte) []byte {
	for n != nil {
		switch c := bytes.Compare(key, n.key); {
		case c == 0:
			return n.value
		case c < 0:
			n = n.left
		default:
			n = n.right
		}
	}
	return nil
}

// put keeps key and value.
func (n *node) put(key, value []byte) *node {
	if n == nil {
		return &node{key: key, value: value, prio: rand.Uint64()}
	}
	m := *n
	switch c := bytes.Compare(key, n.key); {
	case c == 0:
		m.value = value
	case c < 0:
		l := n.left.put(key, value)
		m.left = l
		if l.prio > m.prio {
			m.left, l.right = l.right, &m
			return l
		}
	default:
		r := n.right.put(key, value)
		m.right = r
		if r.prio > m.prio {
			m.right, r.left = r.left, &m
			return r
		}
	}
	return &m
}

func (n *node) remove(key []byte) *node {
	if n == nil {
		return nil
	}
	m := *n
	switch c := bytes.Compare(key, n.key); {
	case c == 0:
		return join(n.left, n.right)
	case c < 0:
		m.left = n.left.remove(key)
	default:
		m.right = n.right.remove(key)
	}
	return &m
}

// join merges two trees of which the first holds the lower keys.
func join(a, b *node) *node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.prio > b.prio:
		m := *a
		m.right = join(a.right, b)
		return &m
	default:
		m := *b
		m.left = join(a, b.left)
		return &m
	}
}

// scan calls yield for from <= key < to, where a nil to is no bound, and
// reports whether to go on.
func (n *node) scan(from, to []byte, yield func(store.Pair, error) bool) bool {
	if n == nil {
		return true
	}
	low := bytes.Compare(n.key, from) >= 0
	high := to == nil || bytes.Compare(n.key, to) < 0
	return (!low || n.left.scan(from, to, yield)) &&
		(!low || !high || yield(store.Pair{Key: n.key, Value: n.value}, nil)) &&
		(!high || n.right.scan(from, to, yield))
}
