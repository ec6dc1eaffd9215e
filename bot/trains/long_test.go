package trains_test

import (
	"fmt"
	"testing"

	"github.com/muster-release/muster/playbooks"
)

// TestLongTrain has more modules than a person could name in a line.
func TestLongTrain(t *testing.T) {
	const modules = 150
	version := func(i int) string { return fmt.Sprintf("v1.4.1-0.20261124181239-%012x", i) }
	at(t, depot(func(c *playbooks.Catalog) {
		c.Trains[0].Modules = nil
		for i := range modules {
			c.Modules = append(c.Modules, playbooks.Module{Name: fmt.Sprintf("service-%03d", i), Source: "shop/services"})
		}
	}), func(s *station) {
		for i := range modules {
			name := fmt.Sprintf("service-%03d", i)
			s.build(name, version(i), "passed")
			s.live("staging", name, version(i))
		}
		s.until("2000-01-04 14:00")
		s.wantHears("Train weekly is release 1 to production")
	})
}
