package playbooks

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// WriteMarkdown writes notes as Markdown that GitLab, GitHub and others read.
func (n ReleaseNotes) WriteMarkdown(w io.Writer) error {
	b := bufio.NewWriter(w)
	for i := range n.Modules {
		m := &n.Modules[i]
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "## %s %s\n", escapeMarkdown(m.Module), escapeMarkdown(m.Version))
		if m.From != "" {
			since := "Since " + escapeMarkdown(m.From)
			if m.Link != "" {
				since = markdownLink(since, m.Link)
			}
			fmt.Fprintf(b, "\n%s.\n", since)
		}
		for _, g := range m.Groups {
			fmt.Fprintf(b, "\n### %s\n\n", g.Kind)
			for _, note := range g.Notes {
				var refs []string
				for _, r := range note.Refs {
					refs = append(refs, markdownLink(escapeMarkdown(r.Name), r.Link))
				}
				fmt.Fprintf(b, "- %s (%s)\n", escapeMarkdown(note.Text), strings.Join(refs, ", "))
			}
		}
		if len(m.Groups) == 0 && m.Unknown == "" {
			b.WriteString("\nNothing is known of what changed.\n")
		}
		if m.Unknown != "" {
			fmt.Fprintf(b, "\n%s.\n", escapeMarkdown(strings.TrimRight(m.Unknown, ".")))
		}
		if len(m.Authors) > 0 {
			fmt.Fprintf(b, "\nBy %s.\n", escapeMarkdown(planList(m.Authors, 20, "and")))
		}
	}
	return b.Flush()
}

// markdownLink is a link where there is an address that can stand in one.
func markdownLink(text, address string) string {
	if address == "" || strings.ContainsAny(address, " <>()\n\t") {
		return text
	}
	return "[" + text + "](" + address + ")"
}

// escapeMarkdown makes text of others stand for itself: no markup, no mention of a person or
// group, no reference, no HTML, on one line.
func escapeMarkdown(s string) string {
	var b strings.Builder
	for _, r := range strings.Join(strings.Fields(s), " ") {
		switch {
		case strings.ContainsRune("\\`*_{}[]<>#!|~@&$%^:", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsControl(r):
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
