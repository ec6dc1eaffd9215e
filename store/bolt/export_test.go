package bolt

import bolt "go.etcd.io/bbolt"

// SetCommit replaces what commits a bbolt transaction. It must not be called
// while a write is under way.
func (s *Store) SetCommit(commit func(*bolt.Tx) error) { s.w.commit = commit }

// LoseMapping leaves the store as bbolt does when it cannot map a file that has
// grown: unmapped.
func (s *Store) LoseMapping() error { return s.db.Close() }
