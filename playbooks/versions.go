package playbooks

import (
	"regexp"
	"slices"

	"github.com/Masterminds/semver/v3"
)

// planLive is what the facts say of one environment, by module and target.
type planLive struct {
	name    string
	env     *Environment
	known   bool
	targets []string // one empty name where the environment has none
	all     []int32  // 0 … len(targets)-1
	live    []*Live  // module*len(targets) + target; nil: nothing there, or not known
}

func (p *planner) newLive(env *Environment) *planLive {
	l := &planLive{name: env.Name, env: env, targets: env.Targets, known: slices.Contains(p.facts.Known, env.Name)}
	if len(l.targets) == 0 {
		l.targets = []string{""}
	}
	for t := range l.targets {
		l.all = append(l.all, int32(t))
	}
	l.live = p.index(l, p.facts.Live)
	return l
}

// index arranges records of l's environment by module and target.
func (p *planner) index(l *planLive, records []Live) []*Live {
	at := make([]*Live, len(p.graph.mods)*len(l.targets))
	for i := range records {
		r := &records[i]
		if r.Environment != l.name {
			continue
		}
		t := slices.Index(l.targets, r.Target)
		if id, ok := p.graph.ids[r.Module]; ok && t >= 0 {
			at[int(id)*len(l.targets)+t] = r
		}
	}
	return at
}

func (l *planLive) get(id, t int32) *Live { return l.live[int(id)*len(l.targets)+int(t)] }

func (l *planLive) version(id, t int32) string {
	if live := l.get(id, t); live != nil {
		return live.Version
	}
	return ""
}

// has reports whether version is live at all these targets.
func (l *planLive) has(id int32, targets []int32, version string) bool {
	return !slices.ContainsFunc(targets, func(t int32) bool { return l.version(id, t) != version })
}

// versions are the different versions that are live, in the order of targets.
func (l *planLive) versions(id int32, targets []int32) []string {
	var found []string
	for _, t := range targets {
		if v := l.version(id, t); v != "" && !slices.Contains(found, v) {
			found = append(found, v)
		}
	}
	return found
}

// delivered are the targets that a module goes to.
func (l *planLive) delivered(d *Delivery) []int32 {
	if len(d.Targets) == 0 {
		return l.all
	}
	var at []int32
	for t, name := range l.targets {
		if slices.Contains(d.Targets, name) {
			at = append(at, int32(t))
		}
	}
	return at
}

// findVersion chooses the version of a module that was named without one: what
// is live in the environment before, or else the catalog's, or else the newest build that
// passed. Several candidates
// mean that it cannot choose.
func (p *planner) findVersion(id int32) (version, source string, candidates []string) {
	if p.before != nil && p.before.known {
		d := p.graph.mods[id].In(p.before.name)
		switch found := p.before.versions(id, p.before.delivered(&d)); len(found) {
		case 0:
		case 1:
			return found[0], "live in " + p.before.name, nil
		default:
			return "", "", found
		}
	}
	if version := p.graph.mods[id].Version; version != "" {
		return version, "catalog", nil
	}
	if b := p.newest[p.graph.name(id)]; b != nil {
		return b.Version, "newest build", nil
	}
	return "", "catalog", nil
}

// pseudoVersion is how a version ends that is named after a commit: the time of the commit and
// the beginning of its hash, see https://go.dev/ref/mod#pseudo-versions.
var pseudoVersion = regexp.MustCompile(`[.-]\d{14}-[0-9a-f]{12}$`)

// IsPseudoVersion reports whether a version is named after a commit that has no tag.
func IsPseudoVersion(version string) bool { return pseudoVersion.MatchString(version) }

// planAt writes module@version for each version.
func planAt(module string, versions []string) []string {
	words := make([]string, len(versions))
	for i, v := range versions {
		words[i] = module + "@" + v
	}
	return words
}

// planVersions reads versions and constraints, each spelling once.
type planVersions struct {
	versions    map[string]*semver.Version // nil: not a semantic version
	constraints map[string]*semver.Constraints
}

func newPlanVersions() *planVersions {
	return &planVersions{make(map[string]*semver.Version), make(map[string]*semver.Constraints)}
}

func (v *planVersions) version(s string) *semver.Version {
	read, ok := v.versions[s]
	if !ok {
		read, _ = semver.NewVersion(s)
		v.versions[s] = read
	}
	return read
}

// downgrade reports whether to is lower than from. Versions that cannot be
// compared are no downgrade.
func (v *planVersions) downgrade(from, to string) bool {
	if from == to || from == "" {
		return false
	}
	a, b := v.version(from), v.version(to)
	return a != nil && b != nil && b.LessThan(a)
}

// satisfies reports whether version satisfies a constraint. The note says why
// not, where the two by themselves do not tell. A pre-release satisfies only a
// constraint that names one.
func (v *planVersions) satisfies(version, constraint string) (ok bool, note string) {
	if constraint == "" {
		return true, ""
	}
	c, seen := v.constraints[constraint]
	if !seen {
		c, _ = semver.NewConstraint(constraint)
		v.constraints[constraint] = c
	}
	read := v.version(version)
	switch {
	case c == nil:
		return false, " (the constraint cannot be read)"
	case read == nil:
		return false, " (which is not a semantic version)"
	case c.Check(read):
		return true, ""
	case read.Prerelease() != "":
		return false, " (a pre-release satisfies only a constraint that names one)"
	}
	return false, ""
}
