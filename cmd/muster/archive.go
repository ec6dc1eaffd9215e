package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/engine"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/bolt"
)

// What a data folder holds.
const (
	storeFile   = "muster.db"
	worldFolder = "world" // of the embedded world, where it is used
)

// archive is the store of a server that is not running, opened for reading.
type archive struct {
	logs  *store.Logs
	store *bolt.Store
	books map[playbooks.Digest]*playbooks.Playbook
	plans *engine.Engine
}

// openArchive opens the store in a data folder. A store that a process holds is
// refused with the name of that process; one that is not there is a mistake of use.
func openArchive(dir string) (*archive, error) {
	s, err := bolt.Open(filepath.Join(dir, storeFile), bolt.Options{ReadOnly: true})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, misuse("there is no store in %q: name the folder that a server or a demo was given with --data", dir)
	}
	if err != nil {
		return nil, err
	}
	return &archive{logs: store.NewLogs(s), store: s, books: make(map[playbooks.Digest]*playbooks.Playbook)}, nil
}

func (a *archive) Close() error { return a.store.Close() }

// engine is at rest and stays so: it finds what is kept, and drives nothing.
func (a *archive) engine(ctx context.Context) (*engine.Engine, error) {
	if a.plans != nil {
		return a.plans, nil
	}
	var err error
	a.plans, err = engine.Open(ctx, engine.Options{Logs: a.logs, Policy: playbooks.NewPolicy(&playbooks.Catalog{})})
	return a.plans, err
}

// book returns a kept playbook.
func (a *archive) book(ctx context.Context, digest playbooks.Digest) (*playbooks.Playbook, error) {
	if pb := a.books[digest]; pb != nil {
		return pb, nil
	}
	e, err := a.engine(ctx)
	if err != nil {
		return nil, err
	}
	pb, err := e.FindPlan(ctx, digest.String())
	if err != nil {
		return nil, err
	}
	a.books[digest] = pb
	return pb, nil
}

// playbook returns what a run released: the playbook it was started with, or the
// one it went on with when the world had changed. The way back is not meant.
func (a *archive) playbook(ctx context.Context, run string) (*playbooks.Playbook, error) {
	e, err := a.engine(ctx)
	if err != nil {
		return nil, err
	}
	var digest playbooks.Digest
	err = e.Events(ctx, run, 1, func(_ uint64, e playbooks.Event) error {
		if e.Type == playbooks.EventCreated || e.Type == playbooks.EventAdopted && !e.Rollback {
			digest = e.Digest
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if digest.IsZero() {
		return nil, misuse("there is no run %s in %q", run, a.store.Path())
	}
	return a.book(ctx, digest)
}
