package jirafake

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// searchField is a field as JQL sees it.
type searchField struct {
	// values are what an issue has there, each by all the names that it goes by.
	values func(*issue) [][]string
	when   func(*issue) time.Time // of dates; zero: empty
	text   func(*issue) string    // of texts, which are searched by words
	known  func(string) bool      // nil: every value may be asked for
	order  func(a, b *issue) int
	// rank orders values that have an order beside that of dates; nil: there is none.
	rank func(name string) (int, bool)
}

func numbered(id int, name string) []string { return []string{name, strconv.Itoa(id)} }

func nobody(u *User, j *Jira) [][]string {
	switch {
	case u == nil:
		return nil
	case j.cloud:
		return [][]string{{u.AccountID, u.DisplayName, u.Email}}
	}
	return [][]string{{u.Name, u.Key, u.DisplayName, u.Email}}
}

func choices(from []choice, id string) [][]string {
	if c, is := pick(from, id); is && id != "" {
		return [][]string{{c.name, c.id}}
	}
	return nil
}

// searchField finds a field by its name in JQL.
func (j *Jira) searchField(name string) *searchField {
	among := func(all [][]string) func(string) bool {
		return func(v string) bool {
			return slices.ContainsFunc(all, func(names []string) bool { return hasFold(names, v) })
		}
	}
	people := func(of func(*issue) *User) *searchField {
		var all [][]string
		for _, u := range j.users {
			all = append(all, nobody(u, j)...)
		}
		return &searchField{values: func(i *issue) [][]string { return nobody(of(i), j) }, known: among(all)}
	}
	date := func(of func(*issue) time.Time) *searchField {
		return &searchField{when: of, order: func(a, b *issue) int { return of(a).Compare(of(b)) }}
	}
	versions := func(of func(*issue) []int) *searchField {
		var all [][]string
		for _, n := range j.versions {
			all = append(all, numbered(n.id, n.name))
		}
		return &searchField{known: among(all), values: func(i *issue) (v [][]string) {
			for _, id := range of(i) {
				v = append(v, numbered(id, j.versionName(id)))
			}
			return v
		}}
	}
	words := func(of func(*issue) string) *searchField {
		return &searchField{text: of, order: func(a, b *issue) int { return cmp.Compare(strings.ToLower(of(a)), strings.ToLower(of(b))) }}
	}
	switch strings.ToLower(name) {
	case "project":
		var all [][]string
		for _, p := range j.projects {
			all = append(all, []string{p.key, p.name, strconv.Itoa(p.id)})
		}
		return &searchField{known: among(all), values: func(i *issue) [][]string {
			return [][]string{{i.project.key, i.project.name, strconv.Itoa(i.project.id)}}
		},
			order: func(a, b *issue) int { return cmp.Compare(a.project.key, b.project.key) }}
	case "key", "issuekey", "id", "issue":
		return &searchField{known: func(v string) bool { return j.byRef(v) != nil }, values: func(i *issue) [][]string { return [][]string{{i.key(), strconv.Itoa(i.id)}} },
			order: func(a, b *issue) int {
				return cmp.Or(cmp.Compare(a.project.key, b.project.key), cmp.Compare(a.num, b.num))
			},
			rank: func(v string) (int, bool) {
				_, num, _ := strings.Cut(v, "-")
				n, err := strconv.Atoi(num)
				return n, err == nil
			}}
	case "issuetype", "type":
		var all [][]string
		for _, t := range j.types {
			all = append(all, numbered(t.id, t.name))
		}
		return &searchField{known: among(all), values: func(i *issue) [][]string { return [][]string{numbered(i.kind.id, i.kind.name)} },
			order: func(a, b *issue) int { return cmp.Compare(a.kind.name, b.kind.name) }}
	case "status":
		var all [][]string
		for _, s := range j.statuses {
			all = append(all, numbered(s.id, s.name))
		}
		return &searchField{known: among(all), values: func(i *issue) [][]string { return [][]string{numbered(i.status.id, i.status.name)} },
			order: func(a, b *issue) int { return cmp.Compare(a.status.id, b.status.id) }}
	case "statuscategory":
		all := map[string][]string{"new": {"To Do", "new", "2"}, "indeterminate": {"In Progress", "indeterminate", "4"}, "done": {"Done", "Complete", "3"}}
		return &searchField{known: among([][]string{all["new"], all["indeterminate"], all["done"]}), values: func(i *issue) [][]string { return [][]string{all[i.status.category]} }}
	case "labels":
		return &searchField{values: func(i *issue) (v [][]string) {
			for _, l := range i.labels {
				v = append(v, []string{l})
			}
			return v
		}}
	case "fixversion":
		return versions(func(i *issue) []int { return i.fixVersions })
	case "affectedversion":
		return versions(func(i *issue) []int { return i.affects })
	case "component":
		var all [][]string
		for _, c := range j.components {
			all = append(all, numbered(c.id, c.name))
		}
		return &searchField{known: among(all), values: func(i *issue) (v [][]string) {
			for _, id := range i.components {
				v = append(v, numbered(id, j.componentName(id)))
			}
			return v
		}}
	case "priority":
		return &searchField{known: func(v string) bool { _, is := pick(priorities(), v); return is }, values: func(i *issue) [][]string { return choices(priorities(), i.priority) },
			order: func(a, b *issue) int { return cmp.Compare(b.priority, a.priority) },
			rank: func(v string) (int, bool) {
				c, is := pick(priorities(), v)
				n, _ := strconv.Atoi(c.id)
				return -n, is
			}}
	case "resolution":
		return &searchField{known: func(v string) bool {
			_, is := pick(resolutions(), v)
			return is || strings.EqualFold(v, "Unresolved")
		}, values: func(i *issue) [][]string { return choices(resolutions(), i.resolution) }}
	case "assignee":
		return people(func(i *issue) *User { return i.assignee })
	case "reporter":
		return people(func(i *issue) *User { return i.reporter })
	case "creator":
		return people(func(i *issue) *User { return i.creator })
	case "parent":
		return &searchField{known: func(v string) bool { return j.byRef(v) != nil }, values: func(i *issue) [][]string {
			if p := j.issues[i.parent]; p != nil {
				return [][]string{{p.key(), strconv.Itoa(p.id)}}
			}
			return nil
		}}
	case "summary":
		return words(func(i *issue) string { return i.summary })
	case "description", "environment":
		return words(func(i *issue) string { return plain(i.rich[strings.ToLower(name)]) })
	case "comment":
		return words(commentText)
	case "text":
		return words(func(i *issue) string {
			return i.summary + "\n" + plain(i.rich["description"]) + "\n" + plain(i.rich["environment"]) + "\n" + commentText(i)
		})
	case "created", "createddate":
		return date(func(i *issue) time.Time { return i.created })
	case "updated", "updateddate":
		return date(func(i *issue) time.Time { return i.updated })
	case "resolved", "resolutiondate":
		return date(func(i *issue) time.Time { return i.resolved })
	case "due", "duedate":
		return date(func(i *issue) time.Time { t, _ := time.Parse(time.DateOnly, i.due); return t })
	}
	for _, f := range j.custom {
		if f.id == name || hasFold(f.clauses, name) {
			of := func(i *issue) string { return customText(i.custom[f.id]) }
			s := words(of)
			s.values = func(i *issue) [][]string {
				if v := of(i); v != "" {
					return [][]string{{v}}
				}
				return nil
			}
			return s
		}
	}
	return nil
}

func commentText(i *issue) string {
	var b strings.Builder
	for _, c := range i.comments {
		b.WriteString(plain(c.body) + "\n")
	}
	return b.String()
}

func hasFold(all []string, one string) bool {
	return slices.ContainsFunc(all, func(s string) bool { return strings.EqualFold(s, one) })
}

// check refuses what a query asks of fields and values that there are not. Jira refuses
// unknown values, except labels and texts.
func (j *Jira) check(u *User, q *query) []string {
	var bad []string
	var walk func(*clause)
	walk = func(c *clause) {
		if c == nil {
			return
		}
		for _, part := range c.parts {
			walk(part)
		}
		if c.op != "" {
			return
		}
		f := j.searchField(c.field)
		if f == nil {
			bad = append(bad, fmt.Sprintf("Field '%s' does not exist or you do not have permission to view it.", c.field))
			return
		}
		if f.refuses(c.cmp) {
			bad = append(bad, fmt.Sprintf("The operator '%s' is not supported by the '%s' field.", c.cmp, c.field))
			return
		}
		for _, v := range c.values {
			switch {
			case v.called:
				if _, err := j.function(u, v); err != nil {
					bad = append(bad, err.Error())
				}
			case v.empty:
			case f.when != nil:
				if _, err := moment(v.text); err != nil {
					bad = append(bad, fmt.Sprintf("Date value '%s' for field '%s' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', 'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format e.g. '-5d', '4w 2d'.", v.text, c.field))
				}
			case f.known != nil && !f.known(v.text):
				if hasFold([]string{"key", "issuekey", "id", "issue"}, c.field) {
					bad = append(bad, fmt.Sprintf("An issue with key '%s' does not exist for field '%s'.", v.text, c.field))
				} else {
					bad = append(bad, fmt.Sprintf("The value '%s' does not exist for the field '%s'.", v.text, c.field))
				}
			}
		}
	}
	walk(q.where)
	for _, s := range q.order {
		if j.searchField(s.field) == nil {
			bad = append(bad, fmt.Sprintf("Not able to sort using field '%s'.", s.field))
		}
	}
	return bad
}

// refuses reports whether an operator does not go with the field.
func (f *searchField) refuses(op string) bool {
	switch op {
	case "~", "!~":
		return f.text == nil
	case "<", "<=", ">", ">=":
		return f.when == nil && f.rank == nil
	case "=", "!=", "in", "not in":
		return f.text != nil && f.values == nil
	}
	return false
}

// function is what a function stands for.
func (j *Jira) function(u *User, v operand) ([]string, error) {
	all := []string{}
	switch strings.ToLower(v.text) {
	case "currentuser":
		return append(all, nobody(u, j)[0][0]), nil
	case "releasedversions", "unreleasedversions":
		for _, n := range j.versions {
			if !n.archived && n.released == strings.EqualFold(v.text, "releasedVersions") && (len(v.args) == 0 || hasFold(v.args, n.project.key)) {
				all = append(all, strconv.Itoa(n.id))
			}
		}
		return all, nil
	case "linkedissues":
		if len(v.args) == 0 || j.byRef(v.args[0]) == nil {
			return nil, complaint("Issue does not exist or you do not have permission to see it, in function 'linkedIssues'.")
		}
		i := j.byRef(v.args[0])
		for _, l := range j.links {
			switch {
			case l.source == i.id && (len(v.args) < 2 || strings.EqualFold(v.args[1], l.kind.outward)):
				all = append(all, j.issues[l.target].key())
			case l.target == i.id && (len(v.args) < 2 || strings.EqualFold(v.args[1], l.kind.inward)):
				all = append(all, j.issues[l.source].key())
			}
		}
		return all, nil
	case "now":
		return []string{time.Now().Format("2006-01-02 15:04")}, nil
	case "startofday":
		return []string{time.Now().UTC().Format(time.DateOnly)}, nil
	}
	return nil, complain("Unable to find JQL function '%s(%s)'.", v.text, strings.Join(v.args, ", "))
}

// moment reads a point in time: a date, or a period before or after now.
func moment(s string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02 15:04", "2006/01/02 15:04", "2006-01-02", "2006/01/02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	sign, rest := time.Duration(1), strings.TrimPrefix(s, "+")
	if strings.HasPrefix(s, "-") {
		sign, rest = -1, s[1:]
	}
	units := map[byte]time.Duration{'w': 7 * 24 * time.Hour, 'd': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute}
	var sum time.Duration
	parts := strings.Fields(rest)
	for _, part := range parts {
		unit, known := units[part[len(part)-1]]
		n, err := strconv.Atoi(part[:len(part)-1])
		if err != nil || !known || n < 0 || n > 100000 {
			return time.Time{}, fmt.Errorf("not a period: %q", s)
		}
		sum += time.Duration(n) * unit
	}
	if len(parts) == 0 {
		return time.Time{}, fmt.Errorf("not a period: %q", s)
	}
	return time.Now().Add(sign * sum), nil
}

// meets evaluates a clause. A negation does not find issues whose field is empty.
func (j *Jira) meets(u *User, c *clause, i *issue) bool {
	switch c.op {
	case "and":
		return !slices.ContainsFunc(c.parts, func(p *clause) bool { return !j.meets(u, p, i) })
	case "or":
		return slices.ContainsFunc(c.parts, func(p *clause) bool { return j.meets(u, p, i) })
	case "not":
		return !j.meets(u, c.parts[0], i)
	}
	f := j.searchField(c.field)
	var names []string
	hasEmpty := false
	for _, v := range c.values {
		switch {
		case v.empty || strings.EqualFold(c.field, "resolution") && strings.EqualFold(v.text, "Unresolved"):
			hasEmpty = true
		case v.called:
			got, _ := j.function(u, v)
			names = append(names, got...)
		default:
			names = append(names, v.text)
		}
	}
	negative := strings.HasPrefix(c.cmp, "!") || strings.Contains(c.cmp, "not")
	if f.when != nil {
		return compareTime(f.when(i), c.cmp, names, hasEmpty, negative)
	}
	if strings.HasSuffix(c.cmp, "~") || f.values == nil {
		s := f.text(i)
		if hasEmpty {
			return (s == "") != negative
		}
		return (s != "" && hasWords(s, names[0])) != negative && (s != "" || !negative)
	}
	values := f.values(i)
	if strings.ContainsAny(c.cmp, "<>") {
		if len(values) == 0 || len(names) == 0 {
			return false
		}
		has, _ := f.rank(values[0][0])
		want, _ := f.rank(names[0])
		return holds(cmp.Compare(has, want), c.cmp)
	}
	hit := hasEmpty && len(values) == 0 || slices.ContainsFunc(values, func(v []string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return hasFold(v, n) })
	})
	if negative {
		return !hit && (len(values) > 0 || hasEmpty)
	}
	return hit
}

func holds(order int, op string) bool {
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	case ">=":
		return order >= 0
	case "!=":
		return order != 0
	}
	return order == 0
}

func compareTime(t time.Time, op string, names []string, hasEmpty, negative bool) bool {
	if hasEmpty {
		return t.IsZero() != negative
	}
	if t.IsZero() {
		return false
	}
	any := slices.ContainsFunc(names, func(n string) bool {
		want, err := moment(n)
		sign := op
		if op == "in" || op == "not in" || op == "!=" {
			sign = "="
		}
		return err == nil && holds(t.Compare(want), sign)
	})
	return any != (op == "not in" || op == "!=")
}

// hasWords searches a text as Jira does, roughly: all words, in any order, whatever their
// case; a star at the end stands for the rest of a word; in quotes they are a phrase.
func hasWords(text, words string) bool {
	cut := func(s string) []string {
		return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '*' })
	}
	have := cut(text)
	if strings.HasPrefix(words, `"`) && strings.HasSuffix(words, `"`) {
		return strings.Contains(" "+strings.Join(have, " ")+" ", " "+strings.Join(cut(words), " ")+" ")
	}
	for _, w := range cut(words) {
		begin, open := strings.CutSuffix(w, "*")
		if !slices.ContainsFunc(have, func(h string) bool { return h == w || open && strings.HasPrefix(h, begin) }) {
			return false
		}
	}
	return true
}
