package discover

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
)

// Text shows a difference, and what was looked at, as people read it in a terminal.
func (r *Result) Text(d *Difference) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Looked at %s and read %s; %d of the catalog's %s %s from there.\n",
		count(r.Projects, "project"), count(r.Files, "file"), len(r.looked), count(len(r.catalog.Modules), "module"), come(len(r.looked)))
	part(&b, "New needs", d.New, func(e Edge) string { return "+ " + e.String() })
	part(&b, "Changed", d.Changed, func(c Change) string {
		return "~ " + c.Found.String() + ", before " + cmp.Or(c.Before.Constraint, "any version")
	})
	part(&b, "Gone, they were discovered earlier", d.Gone, func(e Edge) string { return "- " + e.String() })
	part(&b, "Declared otherwise, and what is declared counts", d.Differs, func(c Change) string {
		return "! " + c.Before.String() + ", found " + strings.TrimSpace(string(c.Found.Kind)+" "+c.Found.Constraint) + " in " + c.Found.Source
	})
	part(&b, "Declared only, nothing was found for them", d.DeclaredOnly, func(e Edge) string { return "= " + e.String() })
	part(&b, "Kept, because not all could be looked at", d.Kept, func(e Edge) string { return "? " + e.String() })
	part(&b, "In no catalog", r.Proposals, proposalText)
	part(&b, "In a circle, with these needs", d.Circles, func(c []string) string {
		return "○ " + strings.Join(c, " → ")
	})
	part(&b, "Could not be read or understood", r.Problems, func(p Problem) string { return "✗ " + p.String() })
	part(&b, "Of no module, so passed over", r.Homeless, func(s string) string { return "· " + s })
	part(&b, "Without that ref", r.Empty, func(s string) string { return "· " + s })
	b.WriteString("\n")
	if r.Outside > 0 {
		fmt.Fprintf(&b, "%s on what no project looked at provides, left out.\n", count(r.Outside, "need"))
	}
	switch {
	case d.Any():
		fmt.Fprintf(&b, "To be changed in the catalog: %d new, %d changed, %d gone.\n", len(d.New), len(d.Changed), len(d.Gone))
	default:
		b.WriteString("Nothing is to be changed in the catalog.\n")
	}
	return b.String()
}

func come(n int) string {
	if n == 1 {
		return "comes"
	}
	return "come"
}

func part[T any](b *strings.Builder, title string, items []T, line func(T) string) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s: %d\n", title, len(items))
	for _, item := range items {
		fmt.Fprintf(b, "  %s\n", harmless(line(item)))
	}
}

// proposalText says what to add to the catalog for a project that it does not know.
func proposalText(p Proposal) string {
	declare := fmt.Sprintf("{name: %s, source: %s", scalar(p.Name), scalar(p.Source))
	if p.Path != "" {
		declare += ", path: " + scalar(p.Path)
	}
	declare += "}"
	var notes []string
	if p.Known {
		return fmt.Sprintf("* %s: if module %q comes from there, give it source: %s", p.Source, p.Name, scalar(p.Source))
	}
	if p.Named != "" {
		notes = append(notes, "named in "+p.Named)
	}
	if len(p.NeededBy) > 0 {
		notes = append(notes, "needed by "+few(p.NeededBy, func(e Edge) string { return e.Module }))
	}
	if len(p.Needs) > 0 {
		notes = append(notes, "needs "+few(p.Needs, func(e Edge) string { return e.Needs }))
	}
	if len(notes) == 0 {
		return "* " + declare
	}
	return "* " + declare + "  " + strings.Join(notes, ", ")
}

func few(edges []Edge, name func(Edge) string) string {
	var names []string
	for i, e := range edges {
		if i == 3 {
			names = append(names, fmt.Sprintf("%d more", len(edges)-3))
			break
		}
		names = append(names, name(e))
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}

// harmless replaces what would do something to a terminal.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
