package playbooks

import (
	"slices"
	"strings"
	"time"
)

// Tally is how far an approval is.
type Tally struct {
	Approval *Approval
	Given    []Grant        // that count, in the order in which they came
	Missing  []ApprovalRule // how many more people of which groups
}

// Complete reports whether nobody is missing.
func (t Tally) Complete() bool { return len(t.Missing) == 0 }

// mayApprove reports whether person counts for a rule of the approval, and why not.
func (p *Policy) mayApprove(r *Run, a *Approval, person string) *Refusal {
	if p.people[person] == nil {
		return p.May(person, VerbView, "")
	}
	if a.ExcludeRequester && person == r.By {
		return &Refusal{
			Rule:    "two-people",
			Message: p.Name(person) + " asked for this release, so somebody else has to approve it",
			Who:     p.approvers(r, a),
		}
	}
	for _, rule := range a.Rules {
		if p.counts(r, person, rule) {
			return nil
		}
	}
	return &Refusal{
		Rule:    "approvers-only",
		Message: p.Name(person) + " is in none of the groups that are asked",
		Who:     p.approvers(r, a),
	}
}

// counts reports whether person counts for a rule. A rule without a group asks
// whoever may roll back there.
func (p *Policy) counts(r *Run, person string, rule ApprovalRule) bool {
	if rule.Group == "" {
		return r.mayRollBack(p, person)
	}
	return p.In(person, rule.Group)
}

// backers remembers, for the policy and the playbook of the moment, who may roll
// the run back: the question is asked for every step, and the answer takes a look at
// every module.
type backers struct {
	policy *Policy
	book   *Book
	people map[string]bool
}

func (r *Run) mayRollBack(p *Policy, person string) bool {
	if r.backers.policy != p || r.backers.book != r.Book {
		r.backers = backers{p, r.Book, make(map[string]bool)}
	}
	may, known := r.backers.people[person]
	if !known {
		may = p.May(person, VerbRollback, r.Environment, r.moduleNames()...) == nil
		r.backers.people[person] = may
	}
	return may
}

func (p *Policy) approvers(r *Run, a *Approval) []string { return p.names(r, a, a.Rules) }

// names returns the names of the people who count for one of the rules of a run's approval, those
// who may not answer left out.
func (p *Policy) names(r *Run, a *Approval, rules []ApprovalRule) []string {
	var names []string
	for id := range p.people {
		if a.ExcludeRequester && id == r.By {
			continue
		}
		if slices.ContainsFunc(rules, func(rule ApprovalRule) bool { return p.counts(r, id, rule) }) {
			names = append(names, p.Name(id))
		}
	}
	slices.Sort(names)
	return names
}

// Tally counts who has said yes to what the approval asks now. Where no step is
// left for it to guard, nobody is missing.
func (r *Run) Tally(p *Policy, a *Approval, now time.Time) Tally {
	tally := Tally{Approval: a}
	lacking := -1
	seen := make(map[string]bool)
	for _, i := range r.Book.guarded[a.Step] {
		if r.Steps[i].State != Pending {
			continue
		}
		// An answer to an earlier playbook covers some steps and not others: what
		// counts for all is what counts for the step that lacks the most.
		given := r.grantsFor(p, a, &r.Book.Steps[i], now)
		people := make([]string, len(given))
		for k := range given {
			people[k] = given[k].Person
		}
		key := strings.Join(people, "\x00")
		if seen[key] {
			continue
		}
		seen[key] = true
		missing, n := p.missing(r, a, given), 0
		for _, rule := range missing {
			n += rule.Count
		}
		if n > lacking {
			tally.Given, tally.Missing, lacking = given, missing, n
		}
	}
	return tally
}

// grantsFor returns the answers that count for step now: not ended, not too
// old, for exactly this content, from people who still may.
func (r *Run) grantsFor(p *Policy, a *Approval, step *Step, now time.Time) []Grant {
	grants := make([]Grant, 0, len(r.Grants))
	for i := range r.Grants {
		g := &r.Grants[i]
		if g.Ended == "" && now.Before(g.Until) && r.covers(g, step) && p.mayApprove(r, a, g.Person) == nil &&
			!slices.ContainsFunc(grants, func(other Grant) bool { return other.Person == g.Person }) {
			grants = append(grants, *g)
		}
	}
	return grants
}

// approved reports whether a step may have its effect as far as approvals go.
func (r *Run) approved(p *Policy, step *Step, now time.Time) bool {
	a := r.Book.Approval(step.ApprovedBy)
	return a == nil || len(p.missing(r, a, r.grantsFor(p, a, step, now))) == 0
}

// missing returns what the rules still lack. With Distinct, one person stands
// for one rule only, and people are given to rules so that as many as possible
// are served: somebody in two groups never takes the place of one who is in one.
func (p *Policy) missing(r *Run, a *Approval, given []Grant) []ApprovalRule {
	if !a.Distinct {
		var missing []ApprovalRule
		for _, rule := range a.Rules {
			n := rule.Count
			for _, g := range given {
				if p.counts(r, g.Person, rule) {
					n--
				}
			}
			if n > 0 {
				missing = append(missing, ApprovalRule{Group: rule.Group, Count: n})
			}
		}
		return missing
	}
	// Augmenting paths over seats, one for each person that a rule wants.
	var seats []int // by seat: the rule
	for i, rule := range a.Rules {
		for range rule.Count {
			seats = append(seats, i)
		}
	}
	sitter := make([]int, len(seats)) // by seat: 1 + index into given, 0 if free
	var place func(person int, tried []bool) bool
	place = func(person int, tried []bool) bool {
		for seat, rule := range seats {
			if tried[seat] || !p.counts(r, given[person].Person, a.Rules[rule]) {
				continue
			}
			tried[seat] = true
			if sitter[seat] == 0 || place(sitter[seat]-1, tried) {
				sitter[seat] = person + 1
				return true
			}
		}
		return false
	}
	for person := range given {
		place(person, make([]bool, len(seats)))
	}
	var missing []ApprovalRule
	for i, rule := range a.Rules {
		free := 0
		for seat, of := range seats {
			if of == i && sitter[seat] == 0 {
				free++
			}
		}
		if free > 0 {
			missing = append(missing, ApprovalRule{Group: rule.Group, Count: free})
		}
	}
	return missing
}

// modulesOf returns the modules whose rights a command about one step needs.
func (r *Run) modulesOf(s *Step) []string {
	if s.Module == "" {
		return r.moduleNames()
	}
	return []string{s.Module}
}

func (r *Run) moduleNames() []string {
	book := r.Forward().Book
	names := make([]string, len(book.Modules))
	for i := range book.Modules {
		names[i] = book.Modules[i].Name
	}
	return names
}
