package store

import (
	"bytes"
	"context"
	"fmt"
	"iter"
)

// Get returns the value of a plain key, and nil when there is none.
func (l *Logs) Get(ctx context.Context, key string) ([]byte, error) {
	var value []byte
	err := l.s.View(ctx, func(r Reader) error {
		v, err := r.Get([]byte(plainPrefix + key))
		value = bytes.Clone(v)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: get %q: %w", key, err)
	}
	return value, nil
}

// Set writes plain keys as one transaction. Errors are those of Append.
func (l *Logs) Set(ctx context.Context, sets ...Set) error {
	return l.Append(ctx, nil, sets)
}

// Keys yields the plain keys that begin with prefix and their values, in byte
// order. Like List it reads a page at a time. An error ends the sequence.
func (l *Logs) Keys(ctx context.Context, prefix string) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		for p, err := range l.pairs(ctx, plainPrefix+prefix) {
			if err != nil {
				yield(Pair{}, fmt.Errorf("store: keys of %q: %w", prefix, err))
				return
			}
			p.Key = p.Key[len(plainPrefix):]
			if !yield(p, nil) {
				return
			}
		}
	}
}

// pairs yields copies of the pairs below prefix, read in pages so that no
// transaction stays open while the caller works.
func (l *Logs) pairs(ctx context.Context, prefix string) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		from, end := []byte(prefix), prefixEnd(prefix)
		for from != nil {
			var page []Pair
			var next []byte
			err := l.s.View(ctx, func(r Reader) error {
				page, next = page[:0], nil
				size := 0
				for p, err := range r.Scan(from, end) {
					if err != nil {
						return err
					}
					if len(page) == pageEntries || size > pageBytes {
						next = bytes.Clone(p.Key)
						return nil
					}
					size += len(p.Key) + len(p.Value)
					page = append(page, Pair{bytes.Clone(p.Key), bytes.Clone(p.Value)})
				}
				return nil
			})
			if err != nil {
				yield(Pair{}, err)
				return
			}
			for _, p := range page {
				if !yield(p, nil) {
					return
				}
			}
			from = next
		}
	}
}
