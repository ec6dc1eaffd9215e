package jira_test

import (
	"strings"
	"testing"

	"github.com/muster-release/muster/integrations/jira"
	"github.com/muster-release/muster/integrations/jira/jirafake"
	"github.com/muster-release/muster/playbooks"
)

// peopled gives Ann the handle of her account, and others an address.
func peopled(s *site) func(*jira.Options) {
	people := []playbooks.Person{{ID: "ann", Name: "Ann Moreau", Email: "else@example.com", Handles: map[string]string{"jira": s.handle(s.ann)}}}
	for _, name := range []string{"bob", "gone", "robot", "hid", "two"} {
		people = append(people, playbooks.Person{ID: name, Name: name, Email: strings.ToUpper(name) + "@example.com"})
	}
	people = append(people, playbooks.Person{ID: "three", Name: "three", Email: "two@example.com"})
	return func(o *jira.Options) {
		o.Catalog = func() *playbooks.Catalog { return &playbooks.Catalog{People: people} }
	}
}

func TestPeople(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		bob := s.AddUser(jirafake.User{Name: "bob", Email: "bob@example.com"})
		gone := s.AddUser(jirafake.User{Name: "gone", Email: "gone@example.com", Inactive: true})
		robot := s.AddUser(jirafake.User{Name: "robot", Email: "robot@example.com", App: true})
		hidden := s.AddUser(jirafake.User{Name: "hid", Email: "hid@example.com", HideEmail: true})
		twice := s.AddUser(jirafake.User{Name: "two", Email: "two@example.com"})
		j := s.tracker(peopled(s))
		cloud := s.flavor == jirafake.Cloud
		for _, one := range []struct{ name, handle, id, why string }{
			{"by handle", s.handle(s.ann), "ann", ""},
			{"by address", s.handle(bob), map[bool]string{true: "bob"}[cloud], map[bool]string{false: "handle"}[cloud]},
			{"deactivated", s.handle(gone), "", "deactivated"},
			{"an app", s.handle(robot), "", map[bool]string{true: "apps", false: "do not know you"}[cloud]},
			{"who hides their address", s.handle(hidden), "", s.handle(hidden)},
			{"whom two people claim", s.handle(twice), "", map[bool]string{true: "several", false: "do not know you"}[cloud]},
			{"nobody", "", "", "does not tell"},
			{"who is gone", "never-there", "", "any more"},
		} {
			id, why, err := j.Person(t.Context(), one.handle)
			if err != nil || id != one.id || (why == "") != (id != "") || !strings.Contains(why, one.why) {
				t.Errorf("%s: %q, because %q: %v", one.name, id, why, err)
			}
		}
		if h, err := j.Handle(t.Context(), "ann"); err != nil || h != s.handle(s.ann) {
			t.Errorf("Ann is %q: %v", h, err)
		}
		if h, err := j.Handle(t.Context(), "nobody"); err != nil || h != "" {
			t.Errorf("nobody is %q: %v", h, err)
		}
		if j.Self(s.handle(s.muster)) {
			t.Error("knows itself before it asked")
		}
		other := s.AddUser(jirafake.User{Name: "other"})
		s.SetDown(true)
		if _, _, err := j.Person(t.Context(), s.handle(other)); err == nil {
			t.Error("somebody is known though Jira does not answer")
		}
	})
}
