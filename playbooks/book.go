package playbooks

import (
	"cmp"
	"slices"
	"time"
)

// Book is a Playbook with what a Run needs to follow it quickly. It is
// immutable and may be shared by any number of runs.
type Book struct {
	*Playbook
	index      map[string]int
	needs      [][]int32 // by step: the steps it waits for
	dependents [][]int32 // by step: the steps that wait for it
	guarded    map[string][]int32
	approvals  map[string]*Approval
	priority   []time.Duration // by step: who starts first when not all can
}

// NewBook opens a playbook, which must be sealed or have passed Check.
func NewBook(pb *Playbook) *Book {
	n := len(pb.Steps)
	b := &Book{
		Playbook:   pb,
		index:      make(map[string]int, n),
		needs:      make([][]int32, n),
		dependents: make([][]int32, n),
		guarded:    make(map[string][]int32),
		approvals:  make(map[string]*Approval, len(pb.Approvals)),
	}
	for i := range pb.Steps {
		b.index[pb.Steps[i].ID] = i
	}
	for i := range pb.Steps {
		s := &pb.Steps[i]
		for _, edge := range s.Needs {
			if edge.Step == s.ApprovedBy {
				continue // what a step is approved by is looked at for each step by itself
			}
			j := b.index[edge.Step]
			b.needs[i] = append(b.needs[i], int32(j))
			b.dependents[j] = append(b.dependents[j], int32(i))
		}
		if s.ApprovedBy != "" {
			b.guarded[s.ApprovedBy] = append(b.guarded[s.ApprovedBy], int32(i))
		}
	}
	for i := range pb.Approvals {
		b.approvals[pb.Approvals[i].Step] = &pb.Approvals[i]
	}
	b.arrange()
	return b
}

// Lookup returns the step with that ID, and nil when there is none.
func (b *Book) Lookup(id string) *Step {
	if i, ok := b.index[id]; ok {
		return &b.Steps[i]
	}
	return nil
}

// Approval returns what the approval step asks for, and nil when there is none.
func (b *Book) Approval(step string) *Approval { return b.approvals[step] }

// Books finds the playbook with a digest.
type Books func(Digest) (*Book, error)

// Places returns every place that the playbook changes, in the canonical order
// in which locks are taken: by environment, target, module.
func (pb *Playbook) Places() []Place {
	seen := make(map[Place]bool)
	var places []Place
	for i := range pb.Steps {
		s := &pb.Steps[i]
		if s.Module == "" || !s.Kind.HasEffect() {
			continue
		}
		p := pb.place(s)
		if !seen[p] {
			seen[p] = true
			places = append(places, p)
		}
	}
	slices.SortFunc(places, Place.Compare)
	return places
}

func (pb *Playbook) place(s *Step) Place {
	return Place{Environment: pb.Environment, Target: s.Target, Module: s.Module}
}

// Planned returns the module of that name in the release, and nil when it is not
// part of it.
func (b *Book) Planned(module string) *PlannedModule {
	i, found := slices.BinarySearchFunc(b.Modules, module, func(m PlannedModule, name string) int { return cmp.Compare(m.Name, name) })
	if !found {
		return nil
	}
	return &b.Modules[i]
}
