package jira

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	jirago "github.com/andygrunwald/go-jira"

	"github.com/muster-release/muster/integrations/calls"
	"github.com/muster-release/muster/playbooks"
)

// flavor is which of the two Jiras it is.
type flavor string

const (
	cloud      flavor = "Cloud"
	dataCenter flavor = "Data Center"
)

// Jira is one Jira, seen with one account's rights. Its methods may be called concurrently.
type Jira struct {
	o      Options
	flavor flavor
	api    *jirago.Client
	log    *slog.Logger
	form   form

	mu    sync.Mutex
	me    account  // once it is known
	kinds []string // names of link types, once they are known

	fields   []field // once they are known
	fieldsAt time.Time

	accounts calls.Memory[*account] // by handle; nil: there is none
}

var (
	instanceForm = regexp.MustCompile(`^[A-Za-z0-9-]*$`)
	projectForm  = regexp.MustCompile(`^[A-Z][A-Z0-9_]+$`)
)

// New returns a Jira, or says what is wrong with o. It makes no call yet.
func New(o Options) (*Jira, error) {
	base, err := url.Parse(o.URL)
	switch {
	case err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http":
		return nil, errors.New("jira: the URL is no address that begins with https://")
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("jira: the URL is to be an address alone, without account, query and fragment")
	case o.Token == "":
		return nil, errors.New("jira: there is no token")
	case !projectForm.MatchString(o.Project):
		return nil, fmt.Errorf("jira: project %q is no key of a project", o.Project)
	case o.IssueType == "":
		return nil, errors.New("jira: there is no type for the release issue")
	case !instanceForm.MatchString(o.Instance):
		return nil, fmt.Errorf("jira: instance %q has something else than letters, digits and dashes", o.Instance)
	case !slices.Contains([]string{"", EditsRepair, EditsRespect}, o.Edits):
		return nil, fmt.Errorf("jira: edits %q are neither %q nor %q", o.Edits, EditsRepair, EditsRespect)
	case o.Email == "" && isCloudHost(base.Hostname()):
		return nil, errors.New("jira: Jira Cloud wants the email address of the account that the token is of")
	}
	o.URL = strings.TrimRight(o.URL, "/")
	o.Edits, o.LinkType, o.IndexLag = cmp.Or(o.Edits, EditsRepair), cmp.Or(o.LinkType, "Relates"), cmp.Or(o.IndexLag, DefaultIndexLag)
	if o.Catalog == nil {
		o.Catalog = func() *playbooks.Catalog { return &playbooks.Catalog{} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{}
	}
	j := &Jira{o: o, flavor: dataCenter, log: o.Log}
	if j.form, err = newForm(o); err != nil {
		return nil, err
	}
	client := *o.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token goes nowhere else
	if o.Email != "" {
		j.flavor = cloud
		client.Transport = &jirago.BasicAuthTransport{Username: o.Email, Password: o.Token, Transport: o.HTTP.Transport}
	} else {
		client.Transport = &jirago.BearerAuthTransport{Token: o.Token, Transport: o.HTTP.Transport}
	}
	if j.api, err = jirago.NewClient(wire{&client}, o.URL+"/"); err != nil {
		return nil, errors.New("jira: the URL is no address")
	}
	return j, nil
}

// isCloudHost reports whether Atlassian hosts what is there. A Cloud site may have another
// name, then it is the email address that tells.
func isCloudHost(host string) bool {
	host = strings.ToLower(host)
	return strings.HasSuffix(host, ".atlassian.net") || strings.HasSuffix(host, ".jira.com") || host == "api.atlassian.com"
}

// rest is where the API is, below the URL.
func (j *Jira) rest() string {
	if j.flavor == cloud {
		return "rest/api/3/"
	}
	return "rest/api/2/"
}

// browse is the address of an issue for people.
func (j *Jira) browse(key string) string {
	return j.o.URL + "/browse/" + url.PathEscape(key)
}

// account is somebody as Jira knows them: Cloud has IDs, Data Center keys and names.
type account struct {
	ID     string `json:"accountId,omitempty"`
	Key    string `json:"key,omitempty"`
	Name   string `json:"name,omitempty"`
	Shown  string `json:"displayName,omitempty"`
	Email  string `json:"emailAddress,omitempty"`
	Active bool   `json:"active,omitempty"`
	Kind   string `json:"accountType,omitempty"` // of Cloud: "atlassian", "app", "customer"
}

// handle identifies somebody for good: what Person.Handles has.
func (a account) handle() string { return cmp.Or(a.ID, a.Name, a.Key) }

// is reports whether both are the same account.
func (a account) is(b account) bool {
	return a.ID != "" && a.ID == b.ID || a.ID == "" && b.ID == "" && (a.Key != "" && a.Key == b.Key || a.Key == "" && a.Name != "" && a.Name == b.Name)
}

// myself is the account whose token it is. It is asked for once.
func (j *Jira) myself(ctx context.Context) (account, error) {
	j.mu.Lock()
	me := j.me
	j.mu.Unlock()
	if me.handle() != "" {
		return me, nil
	}
	if err := j.get(ctx, "ask whose token it is", "myself", nil, &me); err != nil {
		return account{}, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.me = me
	return me, nil
}

// server is what Jira says of itself.
type server struct {
	BaseURL    string `json:"baseUrl"`
	Version    string `json:"version"`
	Deployment string `json:"deploymentType"` // "Cloud", "Server"
}

// serverInfo asks Jira what it is: serverInfo tells the flavor that the options imply from the
// one that there is.
func (j *Jira) serverInfo(ctx context.Context) (server, error) {
	var s server
	err := j.get(ctx, "ask what Jira it is", "serverInfo", nil, &s)
	return s, err
}
