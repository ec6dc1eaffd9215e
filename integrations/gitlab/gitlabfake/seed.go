package gitlabfake

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// smallShop is three projects that depend on each other, for trying things out.
//
//go:embed seed.json
var smallShop string

// seed is what a seed file holds; seed.json is an example. Times of jobs are in seconds.
type seed struct {
	Users    []User
	Projects []struct {
		Path, Description, Visibility, DefaultBranch string
		Files                                        map[string]string
		Pipeline                                     *struct {
			Name   string
			On     []string
			Inputs []Input
			Jobs   []struct {
				Job
				Seconds float64
			}
		}
		Protected     map[string]Level
		VariablesRole Level
		Approvals     int
		Commits       []Commit
		Tags          []struct{ Name, Ref, Message string }
		Deployments   []struct{ Environment, Ref, Status string }
	}
	Members []struct {
		Place, User string
		Level       Level
	}
	Tokens        []Token
	MergeRequests []struct {
		Project string
		MergeRequest
		Approved []string
	}
	Hooks []struct {
		Place string
		Hook
	}
}

// Seed fills the server from a JSON document; nil: from a small one of three projects. What it names must be there or come before in
// the order of users, projects, members, tokens, merge requests and hooks.
func (s *Server) Seed(r io.Reader) (err error) {
	if r == nil {
		r = strings.NewReader(smallShop)
	}
	var d seed
	decoder := json.NewDecoder(r)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return fmt.Errorf("gitlabfake: seed: %w", err)
	}
	defer func() {
		if p := recover(); p != nil {
			why, is := p.(misuse)
			if !is {
				panic(p)
			}
			err = errors.Join(err, fmt.Errorf("seed: %w", why))
		}
	}()
	for _, u := range d.Users {
		s.AddUser(u)
	}
	for _, p := range d.Projects {
		project := Project{
			Path: p.Path, Description: p.Description, Visibility: p.Visibility, DefaultBranch: p.DefaultBranch, Files: p.Files,
			Protected: p.Protected, VariablesRole: p.VariablesRole, Approvals: p.Approvals,
		}
		if p.Pipeline != nil {
			project.Pipeline = &Definition{Name: p.Pipeline.Name, On: p.Pipeline.On, Inputs: p.Pipeline.Inputs}
			for _, j := range p.Pipeline.Jobs {
				j.Duration = time.Duration(j.Seconds * float64(time.Second))
				project.Pipeline.Jobs = append(project.Pipeline.Jobs, j.Job)
			}
		}
		s.AddProject(project)
		for _, c := range p.Commits {
			s.Push(p.Path, c)
		}
		for _, t := range p.Tags {
			s.PushTag(p.Path, "", t.Name, t.Ref, t.Message)
		}
		for _, one := range p.Deployments {
			s.Deploy(p.Path, "", one.Environment, one.Ref, one.Status)
		}
	}
	for _, m := range d.Members {
		s.AddMember(m.Place, m.User, m.Level)
	}
	for _, t := range d.Tokens {
		s.AddToken(t)
	}
	for _, m := range d.MergeRequests {
		iid := s.AddMergeRequest(m.Project, m.MergeRequest)
		for _, who := range m.Approved {
			s.Approve(m.Project, iid, who)
		}
	}
	for _, h := range d.Hooks {
		s.AddHook(h.Place, h.Hook)
	}
	return nil
}
