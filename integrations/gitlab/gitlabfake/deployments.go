package gitlabfake

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// environment: docs.gitlab.com/api/environments
type environment struct {
	id      int64
	name    string
	url     string
	tier    string
	about   string
	state   string
	created time.Time
	updated time.Time
}

// deployment: docs.gitlab.com/api/deployments
type deployment struct {
	id, iid  int64
	env      *environment
	ref      string
	tag      bool
	commit   *commit
	status   string
	user     *user
	job      *job // nil: recorded through the API
	created  time.Time
	updated  time.Time
	finished time.Time
}

func (p *project) environment(name string) *environment {
	for _, e := range p.envs {
		if e.name == name {
			return e
		}
	}
	return nil
}

var tiers = []struct {
	tier  string
	names *regexp.Regexp
}{
	{"production", regexp.MustCompile(`(?i)^(.*/)?(prod|live)`)}, {"staging", regexp.MustCompile(`(?i)(stag|model|pre|demo|non-?prod)`)},
	{"testing", regexp.MustCompile(`(?i)(test|tst|int|ac(ce|)pt|qa|qc|control|quality)`)}, {"development", regexp.MustCompile(`(?i)(dev|review|trunk)`)},
}

// needEnvironment finds an environment or makes it; a stopped one comes back.
func (s *Server) needEnvironment(p *project, name string, now time.Time) *environment {
	e := p.environment(name)
	if e == nil {
		e = &environment{id: s.id("environment"), name: name, created: now, tier: "other"}
		for _, t := range tiers {
			if t.names.MatchString(name) {
				e.tier = t.tier
				break
			}
		}
		p.envs = append(p.envs, e)
	}
	e.state, e.updated = "available", now
	s.touch()
	return e
}

func (s *Server) addDeployment(p *project, e *environment, ref string, isTag bool, c *commit, status string, by *user, j *job, now time.Time) *deployment {
	d := &deployment{
		id: s.id("deployment"), iid: p.iid("deployment"), env: e, ref: ref, tag: isTag, commit: c, user: by, job: j, created: now,
	}
	p.deploys = append(p.deploys, d)
	d.status, d.updated = status, now
	if ended(status) {
		d.finished = now
	}
	s.deployChanged(p, d, now)
	s.touch()
	return d
}

func (s *Server) setDeployment(d *deployment, status string, now time.Time) {
	if d.status == status {
		return
	}
	d.status, d.updated = status, now
	if ended(status) {
		d.finished = now
	}
	for _, p := range s.projects {
		if slices.Contains(p.deploys, d) {
			s.deployChanged(p, d, now)
		}
	}
	s.touch()
}

func slug(name string) string {
	return strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(name), "-"), "-")
}

func (q *request) environmentJSON(e *environment) object {
	return object{
		"id": e.id, "name": e.name, "slug": slug(e.name), "external_url": orNull(e.url), "state": e.state, "tier": e.tier, "description": orNull(e.about),
		"created_at": stamp(e.created), "updated_at": stamp(e.updated), "auto_stop_at": nil, "auto_stop_setting": "always",
	}
}

func (q *request) deploymentJSON(d *deployment) object {
	o := object{
		"id": d.id, "iid": d.iid, "ref": d.ref, "sha": d.commit.id, "status": d.status, "created_at": stamp(d.created), "updated_at": stamp(d.updated),
		"user": q.s.basic(d.user), "environment": q.environmentJSON(d.env), "deployable": nil,
	}
	if d.job != nil {
		o["deployable"] = q.jobJSON(d.job)
	}
	return o
}

func (q *request) listEnvironments() (any, *problem) {
	var all []any
	for _, e := range q.project.envs {
		if (!q.has("name") || q.str("name") == e.name) && (!q.has("states") || q.str("states") == e.state) &&
			(!q.has("search") || strings.Contains(e.name, q.str("search"))) {
			all = append(all, q.environmentJSON(e))
		}
	}
	return q.pages(all)
}

func (q *request) theEnvironment() (*environment, *problem) {
	for _, e := range q.project.envs {
		if strconv.FormatInt(e.id, 10) == q.param("environment") {
			return e, nil
		}
	}
	return nil, notFound("Environment")
}

func (q *request) getEnvironment(e *environment) (any, *problem) {
	o := q.environmentJSON(e)
	o["last_deployment"] = nil
	if d := lastSuccess(q.project, e); d != nil {
		o["last_deployment"] = q.deploymentJSON(d)
	}
	return o, nil
}

// lastSuccess is what an environment runs.
func lastSuccess(p *project, e *environment) *deployment {
	var last *deployment
	for _, d := range p.deploys {
		if d.env == e && d.status == "success" && (last == nil || !d.finished.Before(last.finished)) {
			last = d
		}
	}
	return last
}

func (q *request) createEnvironment() (any, *problem) {
	name := q.str("name")
	if name == "" {
		return nil, missing("name")
	}
	if q.project.environment(name) != nil {
		return nil, refuse(http.StatusBadRequest, object{"name": []string{"has already been taken"}})
	}
	e := q.s.needEnvironment(q.project, name, time.Now())
	q.describe(e)
	return q.environmentJSON(e), nil
}

func (q *request) describe(e *environment) {
	e.url, e.about, e.tier = cmp.Or(q.str("external_url"), e.url), cmp.Or(q.str("description"), e.about), cmp.Or(q.str("tier"), e.tier)
}

func (q *request) updateEnvironment(e *environment) (any, *problem) {
	q.describe(e)
	e.updated = time.Now()
	return q.environmentJSON(e), nil
}

func (q *request) stopEnvironment(e *environment) (any, *problem) {
	e.state, e.updated = "stopped", time.Now()
	q.status = http.StatusOK
	return q.environmentJSON(e), nil
}

func (q *request) listDeployments() (any, *problem) {
	order := cmp.Or(q.str("order_by"), "id")
	var found []*deployment
	for _, d := range q.project.deploys {
		keep := (!q.has("environment") || q.str("environment") == d.env.name) && (!q.has("status") || q.str("status") == d.status)
		in, p := q.between("updated", d.updated)
		if p != nil {
			return nil, p
		}
		keep = keep && in
		if q.has("finished_after") || q.has("finished_before") {
			// GitLab takes these only together with order_by=finished_at and status=success.
			if order != "finished_at" || q.str("status") != "success" {
				return nil, refuse(http.StatusBadRequest, "400 Bad request - `finished_at` filter and `finished_at` sorting must be paired. Specify `success` status as well")
			}
			if in, p = q.between("finished", d.finished); p != nil {
				return nil, p
			}
			keep = keep && in
		}
		if keep {
			found = append(found, d)
		}
	}
	if q.has("updated_after") || q.has("updated_before") {
		if order != "updated_at" {
			return nil, refuse(http.StatusBadRequest, "400 Bad request - `updated_at` filter and `updated_at` sorting must be paired")
		}
	}
	slices.SortStableFunc(found, func(a, b *deployment) int {
		c := 0
		switch order {
		case "created_at":
			c = a.created.Compare(b.created)
		case "updated_at":
			c = a.updated.Compare(b.updated)
		case "finished_at":
			c = a.finished.Compare(b.finished)
		case "ref":
			c = cmp.Compare(a.ref, b.ref)
		}
		if c = cmp.Or(c, cmp.Compare(a.id, b.id)); q.str("sort") == "desc" {
			return -c
		}
		return c
	})
	return pagesOf(q, found, q.deploymentJSON)
}

func (q *request) theDeployment() (*deployment, *problem) {
	for _, d := range q.project.deploys {
		if strconv.FormatInt(d.id, 10) == q.param("deployment") {
			return d, nil
		}
	}
	return nil, notFound("Deployment")
}

func (q *request) getDeployment(d *deployment) (any, *problem) {
	return q.deploymentJSON(d), nil
}

var recorded = []string{"created", "running", "success", "failed", "canceled"}

// createDeployment records one. What is live already is not recorded twice: the last
// successful one is answered instead, when nothing differs.
func (q *request) createDeployment() (any, *problem) {
	for _, name := range []string{"environment", "sha", "ref", "tag", "status"} {
		if !q.has(name) {
			return nil, missing(name)
		}
	}
	status := q.str("status")
	if !slices.Contains(recorded[1:], status) && status != "created" {
		return nil, &problem{http.StatusBadRequest, object{"error": "status does not have a valid value"}}
	}
	c := q.project.commits[q.str("sha")]
	if c == nil {
		return nil, refuse(http.StatusBadRequest, object{"sha": []string{"The commit does not exist"}})
	}
	if q.project.resolve(q.str("ref")) == nil {
		return nil, refuse(http.StatusBadRequest, object{"ref": []string{"The branch or tag does not exist"}})
	}
	now := time.Now()
	e := q.s.needEnvironment(q.project, q.str("environment"), now)
	if last := lastSuccess(q.project, e); last != nil && last.ref == q.str("ref") && last.tag == q.flag("tag") && last.commit == c && last.status == status {
		return q.deploymentJSON(last), nil
	}
	return q.deploymentJSON(q.s.addDeployment(q.project, e, q.str("ref"), q.flag("tag"), c, status, q.user, nil, now)), nil
}

func (q *request) updateDeployment(d *deployment) (any, *problem) {
	status := q.str("status")
	switch {
	case status == "":
		return nil, missing("status")
	case !slices.Contains(recorded[1:], status):
		return nil, &problem{http.StatusBadRequest, object{"error": "status does not have a valid value"}}
	case d.job != nil:
		return nil, refuse(http.StatusForbidden, "Deployments created using GitLab CI can not be updated using the API")
	case d.status == status:
		return nil, refuse(http.StatusBadRequest, object{"status": []string{"has already been set to " + status}})
	case status == "running" && d.status != "created":
		return nil, refuse(http.StatusBadRequest, object{"status": []string{"cannot transition to running"}})
	}
	q.s.setDeployment(d, status, time.Now())
	return q.deploymentJSON(d), nil
}

func (q *request) deleteDeployment(d *deployment) (any, *problem) {
	q.project.deploys = slices.DeleteFunc(q.project.deploys, func(one *deployment) bool { return one == d })
	return nil, nil
}
