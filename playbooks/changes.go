package playbooks

import "time"

// Changes are what is new in a module's version since another. No digest covers
// them: they tell people what a step brings, and a step does the same whoever wrote it.
type Changes struct {
	From string `json:"from,omitempty"` // version; empty: nothing was there, so Commits are the newest
	To   string `json:"to"`
	Link string `json:"link,omitempty"` // where the two are compared
	// Commits are the newest first, MaxChanges at the most; More counts the others.
	Commits       []Commit       `json:"commits,omitempty"`
	More          int            `json:"more,omitempty"`
	MergeRequests []MergeRequest `json:"mergeRequests,omitempty"`
	Authors       []string       `json:"authors,omitempty"` // names, sorted
	Stories       []Story        `json:"stories,omitempty"` // by key
	// Config are the files in the module's configuration paths that differ.
	Config []ConfigChange `json:"config,omitempty"`
	// Unknown says why something is missing here; empty: nothing is.
	Unknown string `json:"unknown,omitempty"`
}

// MaxChanges is how many commits, and how many merge requests, Changes hold.
const MaxChanges = 100

// Commit is one commit of a module's repository.
type Commit struct {
	ID     string    `json:"id"` // full hash
	Title  string    `json:"title"`
	Author string    `json:"author,omitempty"`
	At     time.Time `json:"at,omitzero"`
	Link   string    `json:"link,omitempty"`
}

// MergeRequest is one that brought commits in.
type MergeRequest struct {
	Number int      `json:"number"` // within its project
	Title  string   `json:"title"`
	Author string   `json:"author,omitempty"`
	Branch string   `json:"branch,omitempty"` // its source branch
	Labels []string `json:"labels,omitempty"`
	Link   string   `json:"link,omitempty"`
}

// Story is an issue of the tracker that a module's commits, branches or merge requests name.
type Story struct {
	Key    string `json:"key"`
	Title  string `json:"title,omitempty"`
	Type   string `json:"type,omitempty"`   // as the tracker calls it: "Story", "Bug"
	Status string `json:"status,omitempty"` // likewise; empty: the tracker does not know the key
	Link   string `json:"link,omitempty"`
}

// ConfigChange is a file of a module's configuration that differs between two versions.
type ConfigChange struct {
	Path    string `json:"path"`
	Added   int    `json:"added,omitempty"` // lines
	Removed int    `json:"removed,omitempty"`
	State   string `json:"state,omitempty"` // added, removed, renamed; empty: changed
	Link    string `json:"link,omitempty"`
}
