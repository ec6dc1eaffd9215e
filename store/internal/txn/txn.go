// Package txn holds the rules that transactions of every store follow.
package txn

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/muster-release/muster/store"
)

// maxKeyBytes is what bbolt allows (MaxKeySize in its bucket.go), the least of
// the engines that Muster can run on.
const maxKeyBytes = 32768

// Size counts what a transaction writes and refuses what goes beyond the limits
// of package store. The zero Size is that of an empty transaction.
type Size struct {
	Ops, Bytes int
	err        error
}

// Add counts a write. Its error stays: see Err.
func (s *Size) Add(key, value []byte) error {
	s.Ops++
	s.Bytes += len(key) + len(value)
	switch {
	case s.err != nil:
	case len(key) == 0:
		s.err = errors.New("store: write: empty key")
	case len(key) > maxKeyBytes:
		s.err = fmt.Errorf("%w: a key of %d bytes, at most %d are possible", store.ErrTooLarge, len(key), maxKeyBytes)
	case s.Ops > store.MaxTxnOps:
		s.err = fmt.Errorf("%w: more than %d writes", store.ErrTooLarge, store.MaxTxnOps)
	case s.Bytes > store.MaxTxnBytes:
		s.err = fmt.Errorf("%w: more than %d bytes", store.ErrTooLarge, store.MaxTxnBytes)
	}
	return s.err
}

// Err returns the first error of Add, so that a transaction is not committed in
// part when its function passed over the error.
func (s *Size) Err() error { return s.err }

// PanicError is the answer to a function that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("store: panic in a transaction: %v", e.Value)
}

// Run calls fn with t. A panic becomes a *PanicError.
func Run(fn func(store.Txn) error, t store.Txn) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	return fn(t)
}
