package engine_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
)

// TestRealGraphsAreReleased releases each of the real dependency graphs on the
// embedded cluster, and checks the order on the cluster's own journal: nothing began
// before everything that it needs, outside its own circle, was there.
func TestRealGraphsAreReleased(t *testing.T) {
	files, err := filepath.Glob("../testdata/graphs/*.json")
	if err != nil || len(files) != 5 {
		t.Fatalf("want 5 graphs, have %q (%v)", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			needs := readGraph(t, file)
			catalog := free(func(c *playbooks.Catalog) {
				c.Cycles, c.Modules = playbooks.ReleaseTogether, nil
				c.Environments[1].Limit = 8
				for name, on := range needs {
					m := playbooks.Module{Name: name, Version: "v1.0.0"}
					for _, n := range on {
						m.Needs = append(m.Needs, playbooks.Need{Module: n})
					}
					c.Modules = append(c.Modules, m)
				}
			})
			bubble(t, catalog, local.Options{}, func(l *lab) {
				run := l.release("dev", "production")
				l.until(run, done, 24*time.Hour)
				began, ended := make(map[string]time.Time), make(map[string]time.Time)
				for _, e := range l.world.Cluster.Journal() {
					began[e.Place.Module] = e.Time
					ended[e.Place.Module] = e.Time.Add(e.Takes)
				}
				if len(began) != len(needs) {
					t.Errorf("%d of %d modules were released", len(began), len(needs))
				}
				edges := 0
				for module, on := range needs {
					for _, need := range on {
						if reaches(needs, need, module) {
							continue
						}
						edges++
						if began[module].Before(ended[need]) {
							t.Errorf("%s began %v before %s was there", module, ended[need].Sub(began[module]), need)
						}
					}
				}
				t.Logf("%d modules, %d edges that order", len(needs), edges)
			})
		})
	}
}

func readGraph(t *testing.T, file string) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var graph struct {
		Modules []struct {
			Name  string
			Needs []string
		}
	}
	if err := json.Unmarshal(data, &graph); err != nil {
		t.Fatal(err)
	}
	needs := make(map[string][]string)
	for _, m := range graph.Modules {
		needs[m.Name] = m.Needs
	}
	return needs
}

// reaches reports whether from needs to, directly or not.
func reaches(needs map[string][]string, from, to string) bool {
	seen := make(map[string]bool)
	var visit func(string) bool
	visit = func(m string) bool {
		if m == to {
			return true
		}
		if seen[m] {
			return false
		}
		seen[m] = true
		for _, n := range needs[m] {
			if visit(n) {
				return true
			}
		}
		return false
	}
	return visit(from)
}
