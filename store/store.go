// Package store keeps Muster's truth: ordered, hash-chained logs, and the
// small keys and large blobs around them.
//
// # Key layout
//
// Every key is flat bytes, and every listing is in byte order. Names of logs and
// keys use '/' between their parts; a log's name may contain any byte but NUL.
//
//	f                               format version of the file, decimal
//	h/<log>                         head of a log: length and hash (see Head)
//	l/<log>\x00<seq, 8 bytes BE>    one record of a log, the first has seq 1
//	b/<sha256 hex>                  a blob's size and number of chunks
//	b/<sha256 hex>/<n, 4 bytes BE>  one chunk of a blob
//	k/<key>                         everything else, owned by who wrote it; owners are
//	                                listed in docs/architecture.md
//
// # Transactions
//
// A Store is deliberately small, so that one interface is honest on one file of
// a laptop and on a replicated engine. A transaction reads what was committed
// before it began plus its own writes. It stays below 128 operations and
// 1.5 MiB, the default limits of etcd (https://etcd.io/docs/v3.6/dev-guide/limit/);
// larger values go through PutBlob first.
package store

import (
	"context"
	"errors"
	"iter"
)

// Limits of one transaction, from etcd's defaults (see the package comment).
const (
	MaxTxnOps   = 128
	MaxTxnBytes = 1 << 20 // leaves room for keys and framing under 1.5 MiB
	ChunkBytes  = 256 << 10
)

var (
	// ErrConflict says that a log did not have the expected length. Nothing was
	// written: read the log's tail, decide again.
	ErrConflict = errors.New("store: the log has moved on")
	// ErrUnknown says that it is not known whether the transaction was stored.
	// Read before doing anything else.
	ErrUnknown = errors.New("store: it is not known whether the write was stored")
	// ErrClosed answers every call after Close.
	ErrClosed = errors.New("store: closed")
	// ErrTooLarge says that a transaction goes beyond MaxTxnOps or MaxTxnBytes.
	ErrTooLarge = errors.New("store: transaction too large")
	// ErrCorrupt is wrapped by every error that says stored bytes are not what was
	// written.
	ErrCorrupt = errors.New("store: corrupt")
)

// Reader is a consistent view of a store.
// Slices it returns are valid until the transaction ends and are not to be changed.
type Reader interface {
	// Get returns the value of key, and nil when there is none.
	Get(key []byte) ([]byte, error)
	// Scan yields the pairs with from <= key < to in byte order; a nil to means no
	// upper bound. A remote read can fail half way: the error comes with a zero
	// Pair and ends the sequence.
	Scan(from, to []byte) iter.Seq2[Pair, error]
}

// Txn is a Reader that also writes. It reads its own writes; a Scan yields those
// made before it began. Once a write was refused, the transaction is, too.
type Txn interface {
	Reader
	// Put sets key to value. Both are copied. A key has 1 to 32768 bytes; a value
	// may be empty, and Get then returns an empty slice that is not nil.
	Put(key, value []byte) error
	// Delete removes key; a key that is not there is no error.
	Delete(key []byte) error
}

// Pair is a key with its value.
type Pair struct{ Key, Value []byte }

// Store holds ordered keys. Every method may be called concurrently.
type Store interface {
	// View runs fn on a consistent view. Fn must not call the store.
	View(ctx context.Context, fn func(Reader) error) error
	// Update runs fn and commits what it wrote as one durable transaction, or
	// nothing at all when fn returns an error, which Update then returns as it is.
	// Fn may run more than once, so it does no I/O of its own and sets its results
	// afresh each time. Concurrent updates may share one commit; they take effect
	// in the order in which Update was called where one goroutine called it, and
	// each sees the effects of those before it.
	//
	// When the commit itself fails, the error wraps ErrUnknown if the write may
	// have been stored nevertheless; any other error means that nothing was.
	// When ctx ends first, Update stops waiting and its error wraps ErrUnknown as
	// well as ctx's cause, unless it had not been taken up yet.
	Update(ctx context.Context, fn func(Txn) error) error
	// Submit is Update that returns as soon as its place in the order of commits is
	// taken: every Submit and Update called after Submit returned sees its effects,
	// if it succeeds. The channel gets exactly one answer, nil once durable.
	Submit(fn func(Txn) error) <-chan error
	// Close waits for what was submitted and releases the store.
	Close() error
}
