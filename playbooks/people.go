package playbooks

import (
	"fmt"
	"strings"
)

// WithHandle returns who has an account in a system by the configuration, where is tells whether a
// handle is that account's.
func WithHandle(people []Person, system string, is func(handle string) bool) (ids []string) {
	for i := range people {
		if handle := people[i].Handles[system]; handle != "" && is(handle) {
			ids = append(ids, people[i].ID)
		}
	}
	return ids
}

// WithAddress returns who has an address, and no account in the system by the configuration. Nobody
// has an empty one.
func WithAddress(people []Person, system, address string) (ids []string) {
	for i := range people {
		if p := &people[i]; address != "" && p.Handles[system] == "" && strings.EqualFold(p.Email, address) {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// Claimed is the one person of ids, at least one, who all have an account by its handle or address, and
// else why it is nobody's.
func Claimed(ids []string, by string) (id, why string) {
	for _, id := range ids {
		if id != ids[0] {
			return "", fmt.Sprintf("several people of the configuration have your %s, so nothing is allowed", by)
		}
	}
	return ids[0], ""
}
