package gitlab

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestFactsStayShort has what people may make as long as they like, which is what facts are named after: the intake
// takes no fact of more than 400 bytes.
func TestFactsStayShort(t *testing.T) {
	g := aloneAt(t, nil)
	project := strings.Repeat("group/", 20) + "cart"
	var labels []string
	for i := range 30 {
		labels = append(labels, fmt.Sprintf("priority::number %d", i))
	}
	at := time.Now()
	m := merge{number: 7, state: "opened", commit: strings.Repeat("c", 40), labels: labels}
	one := g.merging(project, m, at).Fact
	m.labels = append(labels[1:], "another")
	other := g.merging(project, m, at).Fact
	long := strings.Repeat("é", 120)
	facts := []string{one, other, g.pushed(project, long, m.commit, "", at).Fact, g.tagged(project, long, m.commit, true, at).Fact, g.released(project, long, m.commit, "create", at).Fact}
	seen := make(map[string]bool)
	for _, fact := range facts {
		if len(fact) > 400 || fact == "" || seen[fact] {
			t.Errorf("fact %q of %d bytes, want another of at most 400", fact, len(fact))
		}
		seen[fact] = true
	}
	m.labels = labels[:2]
	if got, want := g.merging("shop/cart", m, at).Fact, "merge-request shop/cart 7 opened "+m.commit+" priority::number 0,priority::number 1"; got != want {
		t.Errorf("fact %q, want %q", got, want)
	}
}
