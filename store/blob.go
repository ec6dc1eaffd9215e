package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
)

// maxBlobBytes is far more than any playbook needs.
const maxBlobBytes = 1 << 30

func blobKey(sha Hash) []byte {
	return []byte(blobPrefix + sha.String())
}

func chunkKey(sha Hash, n int) []byte {
	return binary.BigEndian.AppendUint32(append(blobKey(sha), '/'), uint32(n))
}

// A blob's record is its size and its number of chunks, 8 and 4 bytes, big
// endian.
func encodeBlob(size, chunks int) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(size))
	return binary.BigEndian.AppendUint32(b, uint32(chunks))
}

func decodeBlob(b []byte) (size, chunks int, err error) {
	if len(b) != 12 {
		return 0, 0, fmt.Errorf("%w: its record has %d bytes", ErrCorrupt, len(b))
	}
	n, c := binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])
	if n > maxBlobBytes || uint64(c) != uint64(chunksOf(int(n))) {
		return 0, 0, fmt.Errorf("%w: its record says %d bytes in %d chunks", ErrCorrupt, n, c)
	}
	return int(n), int(c), nil
}

func chunksOf(size int) int { return (size + ChunkBytes - 1) / ChunkBytes }

// PutBlob stores data, of any size up to 1 GiB, under the SHA-256 of its bytes.
// Data goes in small transactions, and the one that makes the blob complete is
// the last, so a blob is there as a whole or not at all. It may be called again
// after any error, and costs one read when the blob is there already.
func (l *Logs) PutBlob(ctx context.Context, data []byte) (Hash, error) {
	sha := Hash(sha256.Sum256(data))
	if err := l.putBlob(ctx, sha, data); err != nil {
		return Hash{}, fmt.Errorf("store: put blob %s of %d bytes: %w", sha, len(data), err)
	}
	return sha, nil
}

func (l *Logs) putBlob(ctx context.Context, sha Hash, data []byte) error {
	if len(data) > maxBlobBytes {
		return fmt.Errorf("%w: at most %d bytes are possible", ErrTooLarge, maxBlobBytes)
	}
	record := encodeBlob(len(data), chunksOf(len(data)))
	var there bool
	err := l.s.View(ctx, func(r Reader) error {
		b, err := r.Get(blobKey(sha))
		there = bytes.Equal(b, record)
		return err
	})
	if err != nil || there {
		return err
	}
	// Chunks that wait at the same time can share a commit. Each is waited for
	// whatever becomes of the others, so that nobody reads data afterwards.
	var answers []<-chan error
	for n := range chunksOf(len(data)) {
		chunk := data[n*ChunkBytes : min(len(data), (n+1)*ChunkBytes)]
		answers = append(answers, l.s.Submit(func(t Txn) error { return t.Put(chunkKey(sha, n), chunk) }))
	}
	for _, answer := range answers {
		if e := <-answer; err == nil {
			err = e
		}
	}
	if err != nil {
		return err
	}
	return l.s.Update(ctx, func(t Txn) error { return t.Put(blobKey(sha), record) })
}

// GetBlob returns the bytes whose SHA-256 is sha. The error wraps
// fs.ErrNotExist when there is no such blob, and ErrCorrupt when what is stored is
// something else.
func (l *Logs) GetBlob(ctx context.Context, sha Hash) ([]byte, error) {
	data, err := l.getBlob(ctx, sha)
	if err != nil {
		return nil, fmt.Errorf("store: get blob %s: %w", sha, err)
	}
	return data, nil
}

func (l *Logs) getBlob(ctx context.Context, sha Hash) ([]byte, error) {
	var size, chunks int
	err := l.s.View(ctx, func(r Reader) error {
		b, err := r.Get(blobKey(sha))
		if err != nil {
			return err
		}
		if b == nil {
			return fs.ErrNotExist
		}
		size, chunks, err = decodeBlob(b)
		return err
	})
	if err != nil {
		return nil, err
	}
	// Room for what is really there: the record may promise anything.
	data := make([]byte, 0, min(size, 4*ChunkBytes))
	for n := range chunks {
		begin := len(data)
		err := l.s.View(ctx, func(r Reader) error {
			b, err := r.Get(chunkKey(sha, n))
			if err == nil && b == nil {
				err = fmt.Errorf("%w: chunk %d of %d is missing", ErrCorrupt, n+1, chunks)
			}
			data = append(data[:begin], b...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if sha256.Sum256(data) != sha {
		return nil, fmt.Errorf("%w: its bytes have another hash", ErrCorrupt)
	}
	return data, nil
}
