package playbooks

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// WriteMermaid writes the topology as a Mermaid flowchart: a box for each wave,
// an arrow from each module to those that wait for it.
func WriteMermaid(w io.Writer, pb *Playbook) error {
	out := bufio.NewWriter(w)
	out.WriteString("flowchart LR\n")
	topology(pb, func(wave int) {
		fmt.Fprintf(out, "  subgraph w%d[\"wave %d\"]\n", wave, wave)
	}, func(number int, m *PlannedModule) {
		fmt.Fprintf(out, "    m%d[\"%s<br/>%s\"]\n", number, mermaidText(m.Name), mermaidText(m.Version))
	}, func() {
		out.WriteString("  end\n")
	}, func(from, to int, n *PlannedNeed) {
		arrow := "-->"
		if n.Kind == NeedBuild {
			arrow = "-.->"
		}
		fmt.Fprintf(out, "  m%d %s m%d\n", from, arrow, to)
	})
	return out.Flush()
}

// WriteDot writes the topology for Graphviz, like WriteMermaid.
func WriteDot(w io.Writer, pb *Playbook) error {
	out := bufio.NewWriter(w)
	out.WriteString("digraph release {\n  rankdir=LR;\n  node [shape=box];\n")
	topology(pb, func(wave int) {
		fmt.Fprintf(out, "  subgraph cluster_%d {\n    label=\"wave %d\";\n", wave, wave)
	}, func(number int, m *PlannedModule) {
		fmt.Fprintf(out, "    m%d [label=\"%s\\n%s\"];\n", number, dotText(m.Name), dotText(m.Version))
	}, func() {
		out.WriteString("  }\n")
	}, func(from, to int, n *PlannedNeed) {
		style := ""
		if n.Kind == NeedBuild {
			style = " [style=dashed]"
		}
		fmt.Fprintf(out, "  m%d -> m%d%s;\n", from, to, style)
	})
	out.WriteString("}\n")
	return out.Flush()
}

// topology walks the modules wave by wave and then the needs among them.
// Modules are numbered, because a name can be anything.
func topology(pb *Playbook, begin func(wave int), module func(int, *PlannedModule), end func(), edge func(from, to int, n *PlannedNeed)) {
	number := make(map[string]int, len(pb.Modules))
	for i := range pb.Modules {
		number[pb.Modules[i].Name] = i
	}
	for k, wave := range pb.Waves {
		begin(k + 1)
		for _, name := range wave {
			if i, ok := number[name]; ok {
				module(i, &pb.Modules[i])
			}
		}
		end()
	}
	for i := range pb.Modules {
		needs := pb.Modules[i].Needs
		for k := range needs {
			n := &needs[k]
			from, ok := number[n.Module]
			if ok && n.Kind != NeedTest && from != i && (k == 0 || needs[k-1].Module != n.Module) {
				edge(from, i, n)
			}
		}
	}
}

// mermaidText writes everything but plain letters and digits as character
// codes, which have no meaning of their own inside a label.
func mermaidText(s string) string {
	var b strings.Builder
	for _, r := range planClean(s) {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" -_./@+", r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}

// dotText escapes what has a meaning inside a quoted Graphviz string.
func dotText(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(planClean(s))
}
