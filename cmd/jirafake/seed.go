package main

import (
	"fmt"

	"github.com/muster-release/muster/integrations/jira/jirafake"
)

// world is what a Jira begins with; a file of --seed has the same form.
type world struct {
	People   []person  `json:"people"`
	Projects []project `json:"projects"`
	Issues   []issue   `json:"issues"`
}

// person logs in with a token; an empty one is made up.
type person struct {
	Name, DisplayName, Email, Token string
}

// project has the workflow "release" or, if empty, Jira's default one.
type project struct {
	Key, Name, Workflow         string
	Types, Components, Versions []string
}

// issue may be moved, by the names of transitions, after it was made.
type issue struct {
	Project, Type, Summary, Description, By, Assignee, Priority string
	Labels, FixVersions, Components, Moves                      []string
}

func builtIn() world {
	return world{
		People: []person{
			{Name: "muster", DisplayName: "Muster", Email: "muster@boutique.example"}, {Name: "ann", DisplayName: "Ann Moreau", Email: "ann@boutique.example"},
			{Name: "bob", DisplayName: "Bob Okafor", Email: "bob@boutique.example"},
		},
		Projects: []project{
			{Key: "REL", Name: "Releases", Workflow: "release", Types: []string{"Release", "Task"}},
			{Key: "SHOP", Name: "Online Boutique", Types: []string{"Story", "Bug", "Task"}, Components: []string{"cartservice", "checkoutservice", "frontend"}, Versions: []string{"0.10.3", "0.10.4"}},
		},
		Issues: []issue{
			{Project: "SHOP", Type: "Story", Summary: "Carts survive a restart", By: "ann", Components: []string{"cartservice"}, FixVersions: []string{"0.10.4"}, Moves: []string{"In Progress", "Done"}},
			{Project: "SHOP", Type: "Bug", Summary: "Checkout charges twice", By: "bob", Priority: "Highest", Components: []string{"checkoutservice"}, FixVersions: []string{"0.10.4"}, Moves: []string{"In Progress"}},
			{Project: "SHOP", Type: "Story", Summary: "Show the shipping cost on every page", By: "bob", Assignee: "ann", Components: []string{"frontend"}},
		},
	}
}

// plant fills a Jira and returns its people with their tokens.
func (w world) plant(j *jirafake.Jira) ([]jirafake.User, error) {
	var people []jirafake.User
	for _, p := range w.People {
		people = append(people, j.AddUser(jirafake.User{Name: p.Name, DisplayName: p.DisplayName, Email: p.Email, Token: p.Token}))
	}
	for _, p := range w.Projects {
		add := jirafake.Project{Key: p.Key, Name: p.Name, Types: p.Types, Components: p.Components, Versions: p.Versions}
		switch p.Workflow {
		case "":
		case "release":
			add.Workflow = jirafake.ReleaseWorkflow()
		default:
			return nil, fmt.Errorf("jirafake: seed: project %q: workflow %q: unknown; there is \"release\"", p.Key, p.Workflow)
		}
		if err := j.AddProject(add); err != nil {
			return nil, err
		}
	}
	for _, i := range w.Issues {
		made, err := j.AddIssue(jirafake.NewIssue{
			Project: i.Project, Type: i.Type, Summary: i.Summary, Description: i.Description, By: i.By, Assignee: i.Assignee, Priority: i.Priority,
			Labels: i.Labels, FixVersions: i.FixVersions, Components: i.Components,
		})
		if err != nil {
			return nil, err
		}
		for _, m := range i.Moves {
			if err := j.Move(i.By, made.Key, m, nil); err != nil {
				return nil, err
			}
		}
	}
	return people, nil
}
