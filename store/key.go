package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// Prefixes of the key layout that the package comment describes.
const (
	headPrefix   = "h/"
	recordPrefix = "l/"
	blobPrefix   = "b/"
	plainPrefix  = "k/"
)

func checkLog(name string) error {
	if name == "" {
		return errors.New("a log needs a name")
	}
	if strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("log %q: a name must not contain NUL", name)
	}
	return nil
}

func appendHeadKey(b []byte, log string) []byte {
	return append(append(b, headPrefix...), log...)
}

func appendRecordKey(b []byte, log string, seq uint64) []byte {
	b = append(append(b, recordPrefix...), log...)
	return binary.BigEndian.AppendUint64(append(b, 0), seq)
}

// recordsEnd is the first key after all records of log.
func recordsEnd(log string) []byte {
	return append([]byte(recordPrefix+log), 1)
}

// recordSeq returns the number in a record's key that begins with that of log.
func recordSeq(key []byte, log string) (uint64, error) {
	rest := key[len(recordPrefix)+len(log)+1:]
	if len(rest) != 8 {
		return 0, fmt.Errorf("%w: the key %q is no record's", ErrCorrupt, key)
	}
	return binary.BigEndian.Uint64(rest), nil
}

func appendHead(b []byte, h Head) []byte {
	return append(binary.BigEndian.AppendUint64(b, h.Len), h.Hash[:]...)
}

func decodeHead(b []byte) (Head, error) {
	if b == nil {
		return Head{}, nil
	}
	if len(b) != 8+sha256.Size {
		return Head{}, fmt.Errorf("%w: the head has %d bytes", ErrCorrupt, len(b))
	}
	h := Head{Len: binary.BigEndian.Uint64(b), Hash: Hash(b[8:])}
	if h.Len == 0 {
		return Head{}, fmt.Errorf("%w: the head counts no records", ErrCorrupt)
	}
	return h, nil
}

// decodeRecord splits what is stored of a record into its hash and its data.
func decodeRecord(seq uint64, b []byte) (Hash, []byte, error) {
	if len(b) < sha256.Size {
		return Hash{}, nil, corrupt(seq, fmt.Sprintf("has only %d bytes", len(b)))
	}
	return Hash(b[:sha256.Size]), b[sha256.Size:], nil
}

func corrupt(seq uint64, what string) error {
	return fmt.Errorf("%w: record %d %s", ErrCorrupt, seq, what)
}

// chain computes the hashes of a log's records, one after the other.
type chain struct {
	sum hash.Hash
	in  [sha256.Size + 8]byte
	out [sha256.Size]byte
}

func newChain() *chain { return &chain{sum: sha256.New()} }

// seed is the hash before a log's first record.
func seed(log string) Hash { return sha256.Sum256([]byte(log)) }

func (c *chain) next(prev Hash, seq uint64, data []byte) Hash {
	binary.BigEndian.PutUint64(c.in[copy(c.in[:], prev[:]):], seq)
	c.sum.Reset()
	c.sum.Write(c.in[:])
	c.sum.Write(data)
	return Hash(c.sum.Sum(c.out[:0]))
}

// prefixEnd is the first key after all that begin with prefix, which is not
// made of 0xff alone.
func prefixEnd(prefix string) []byte {
	end := []byte(prefix)
	for end[len(end)-1] == 0xff {
		end = end[:len(end)-1]
	}
	end[len(end)-1]++
	return end
}
