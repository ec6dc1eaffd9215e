package jira_test

import (
	"strings"
	"testing"

	"github.com/muster-release/muster/integrations/jira"
	"github.com/muster-release/muster/integrations/jira/jirafake"
	"github.com/muster-release/muster/playbooks"
)

func TestCheckOnline(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		cloud := s.flavor == jirafake.Cloud
		good := func(o *jira.Options) {
			peopled(s)(o)
			o.WebhookSecret, o.StoryProjects, o.ApproveStatus, o.RejectStatus = hookSecret, []string{"ABC"}, "Releasing", "cancelled"
			if !cloud { // addresses do not count there
				known := o.Catalog().People[:1]
				o.Catalog = func() *playbooks.Catalog { return &playbooks.Catalog{People: known} }
			}
		}
		for _, f := range s.tracker(good).Check(t.Context()) {
			if !f.OK || f.Fix != "" {
				t.Errorf("in order, and yet %+v", f)
			}
		}
		wrong := func(name string, j *jira.Jira, what, fix string) {
			t.Helper()
			for _, f := range j.Check(t.Context()) {
				if !f.OK && strings.Contains(f.What, what) && f.Fix != "" && strings.Contains(f.Fix, fix) {
					return
				}
			}
			t.Errorf("%s: found %+v, without %q and %q", name, j.Check(t.Context()), what, fix)
		}
		with := func(f func(*jira.Options)) *jira.Jira { return s.tracker(good, f) }
		wrong("another address", with(func(o *jira.Options) { o.URL, o.HTTP = strings.Replace(o.URL, "/ctx", "/other", 1), s.Client() }), "Jira at", "server.jira.url")
		wrong("another token", with(func(o *jira.Options) { o.Token = "no" }), "token", "server.jira.token")
		wrong("another flavor", with(func(o *jira.Options) { o.Email = map[bool]string{false: "m@example.com"}[cloud] }), "", "server.jira.")
		wrong("another project", with(func(o *jira.Options) { o.Project = "NONE" }), "project NONE", "server.jira.project")
		wrong("another type", with(func(o *jira.Options) { o.IssueType = "Launch" }), `no issue type "Launch"`, "Release")
		wrong("a field", with(func(o *jira.Options) { o.Fields = map[string]string{"Nowhere": "x"} }), `"Nowhere"`, "server.jira.fields")
		wrong("a status that approves", with(func(o *jira.Options) { o.ApproveStatus = "Yes" }), `no status "Yes"`, "Awaiting Approval")
		wrong("a link type", with(func(o *jira.Options) { o.LinkType = "Loves" }), `no link type "Loves"`, "Relates")
		wrong("a project of stories", with(func(o *jira.Options) { o.StoryProjects = []string{"NONE"} }), "project NONE", "server.jira.stories.projects")
		wrong("no secret", with(func(o *jira.Options) { o.WebhookSecret = "" }), "no webhook secret", "server.jira.webhookSecret")
		if !cloud {
			wrong("people without handles", with(peopled(s)), "bob", "handle")
		}
		s.must(s.Deny("muster", "REL", jirafake.LinkIssues, jirafake.ManageProject))
		wrong("a permission", with(func(*jira.Options) {}), "LINK_ISSUES", "permission scheme")
		wrong("the permission for versions", with(func(*jira.Options) {}), "ADMINISTER_PROJECTS", "permission scheme")
		s.must(s.Deny("muster", "ABC", jirafake.LinkIssues))
		wrong("a permission for stories", with(func(*jira.Options) {}), "in ABC", "permission scheme of ABC")
		j := with(func(*jira.Options) {})
		s.SetDown(true)
		wrong("no answer", j, "connect", "reaches")
		before := s.posts()
		if len(before) != 0 {
			t.Errorf("the check changed something: %v", before)
		}
	})
}
