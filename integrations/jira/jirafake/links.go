package jirafake

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// linkType is a kind of link between issues.
type linkType struct{ id, name, inward, outward string }

func linkTypes() []linkType {
	return []linkType{
		{"10000", "Blocks", "is blocked by", "blocks"}, {"10001", "Cloners", "is cloned by", "clones"},
		{"10002", "Duplicate", "is duplicated by", "duplicates"}, {"10003", "Relates", "relates to", "relates to"},
	}
}

// link goes from source to target: "source blocks target".
type link struct {
	id             int
	kind           linkType
	source, target int
}

func (j *Jira) linkTypeJSON(t linkType, v view) Object {
	return Object{"id": t.id, "name": t.name, "inward": t.inward, "outward": t.outward, "self": j.self(v, "issueLinkType", t.id)}
}

func (j *Jira) getLinkTypes(r *request) answer {
	return ok(Object{"issueLinkTypes": each(linkTypes(), func(t linkType) any { return j.linkTypeJSON(t, j.viewOf(r)) })})
}

// linkedJSON is an issue as links show it.
func (j *Jira) linkedJSON(i *issue, v view) Object {
	fields := Object{"summary": i.summary, "status": j.statusJSON(i.status, v), "issuetype": j.typeJSON(i.kind, v)}
	c, _ := pick(priorities(), i.priority)
	fields["priority"] = j.choiceJSON("priority", c, v)
	return Object{"id": strconv.Itoa(i.id), "key": i.key(), "self": j.self(v, "issue", strconv.Itoa(i.id)), "fields": fields}
}

func (j *Jira) linksJSON(i *issue, v view) []any {
	all := []any{}
	for _, l := range j.links {
		o := Object{"id": strconv.Itoa(l.id), "self": j.self(v, "issueLink", strconv.Itoa(l.id)), "type": j.linkTypeJSON(l.kind, v)}
		switch i.id {
		case l.source:
			o["outwardIssue"] = j.linkedJSON(j.issues[l.target], v)
		case l.target:
			o["inwardIssue"] = j.linkedJSON(j.issues[l.source], v)
		default:
			continue
		}
		all = append(all, o)
	}
	return all
}

// readLink reads a link between the two issues that it names; here stands for the one that
// an edit leaves out. The inward issue of a request is where the link comes from.
func (j *Jira) readLink(u *User, o Object, here *issue) (kind linkType, source, target *issue, bad string) {
	named, _ := o["type"].(Object)
	at := slices.IndexFunc(linkTypes(), func(t linkType) bool {
		return named["id"] != nil && fmt.Sprint(named["id"]) == t.id || named["id"] == nil && named["name"] == t.name
	})
	if at < 0 {
		return linkType{}, nil, nil, fmt.Sprintf("No issue link type with name '%v' found.", named["name"])
	}
	end := func(name string) *issue {
		e, given := o[name].(Object)
		if !given {
			return here
		}
		ref, _ := e["key"].(string)
		if e["id"] != nil {
			ref = fmt.Sprint(e["id"])
		}
		return j.visible(u, ref)
	}
	source, target = end("inwardIssue"), end("outwardIssue")
	switch {
	case source == nil || target == nil:
		return linkType{}, nil, nil, noIssue
	case source == target || source.id == target.id && source.id != 0:
		return linkType{}, nil, nil, "You cannot link an issue to itself."
	}
	return linkTypes()[at], source, target, ""
}

// makeLink links two issues. A link that is there already is not made again.
func (j *Jira) makeLink(u *User, kind linkType, source, target *issue) {
	if slices.ContainsFunc(j.links, func(l *link) bool { return l.kind == kind && l.source == source.id && l.target == target.id }) {
		return
	}
	j.links = append(j.links, &link{j.id(), kind, source.id, target.id})
	says := func(i, other *issue, words string) {
		j.commit(u, i, i.clone(), event{extra: []item{{"Link", "issuelinks", "jira", nil, nil, other.key(), fmt.Sprintf("This issue %s %s", words, other.key())}}})
	}
	says(source, target, kind.outward)
	says(target, source, kind.inward)
}

func (j *Jira) createLink(r *request) answer {
	o := r.object()
	kind, source, target, bad := j.readLink(r.user, o, nil)
	switch {
	case bad != "":
		return gone(bad)
	case !j.may(r.user, source.project, LinkIssues):
		return gone("No Link Issue Permission for issue '" + source.key() + "'")
	}
	if c, is := o["comment"].(Object); is {
		if bad := j.checkRich(c["body"]); bad != "" {
			return wrong(map[string]string{"comment": bad})
		}
		j.newComment(r.user, source, c["body"], nil)
	}
	j.makeLink(r.user, kind, source, target)
	return answer{Status: http.StatusCreated}
}

func (j *Jira) findLink(r *request) *link {
	for _, l := range j.links {
		if strconv.Itoa(l.id) == r.path["link"] && j.may(r.user, j.issues[l.source].project, Browse) && j.may(r.user, j.issues[l.target].project, Browse) {
			return l
		}
	}
	return nil
}

const noLink = "No issue link with this ID was found."

func (j *Jira) getLink(r *request) answer {
	l, v := j.findLink(r), j.viewOf(r)
	if l == nil {
		return gone(noLink)
	}
	return ok(Object{
		"id": strconv.Itoa(l.id), "self": j.self(v, "issueLink", strconv.Itoa(l.id)), "type": j.linkTypeJSON(l.kind, v),
		"inwardIssue": j.linkedJSON(j.issues[l.source], v), "outwardIssue": j.linkedJSON(j.issues[l.target], v),
	})
}

func (j *Jira) deleteLink(r *request) answer {
	l := j.findLink(r)
	if l == nil || !j.may(r.user, j.issues[l.source].project, LinkIssues) {
		return gone(noLink)
	}
	j.links = slices.DeleteFunc(j.links, func(o *link) bool { return o == l })
	says := func(i, other *issue, words string) {
		j.commit(r.user, i, i.clone(), event{extra: []item{{"Link", "issuelinks", "jira", other.key(), fmt.Sprintf("This issue %s %s", words, other.key()), nil, nil}}})
	}
	says(j.issues[l.source], j.issues[l.target], l.kind.outward)
	says(j.issues[l.target], j.issues[l.source], l.kind.inward)
	return noContent()
}

// remoteLink is a link to something outside.
type remoteLink struct {
	id     int
	global string
	body   Object // application, relationship and object as they were sent
}

func (j *Jira) remoteJSON(i *issue, l *remoteLink, v view) Object {
	o := Object{"id": l.id, "self": j.self(v, "issue", strconv.Itoa(i.id), "remotelink", strconv.Itoa(l.id)), "application": Object{}}
	for _, name := range []string{"application", "relationship", "object"} {
		if l.body[name] != nil {
			o[name] = l.body[name]
		}
	}
	if l.global != "" {
		o["globalId"] = l.global
	}
	return o
}

func (j *Jira) getRemoteLinks(r *request) answer {
	i := j.visible(r.user, r.path["issue"])
	if i == nil {
		return gone(noIssue)
	}
	if global := r.query.Get("globalId"); global != "" {
		for _, l := range i.remotes {
			if l.global == global {
				return ok(j.remoteJSON(i, l, j.viewOf(r)))
			}
		}
		return gone("No remote issue link with the global ID was found.")
	}
	return ok(each(i.remotes, func(l *remoteLink) any { return j.remoteJSON(i, l, j.viewOf(r)) }))
}

func readRemote(o Object) map[string]string {
	object, is := o["object"].(Object)
	errs := map[string]string{}
	if !is {
		return map[string]string{"object": "'object' is required."}
	}
	if title, is := object["title"].(string); !is || title == "" || len(title) > 255 {
		errs["title"] = "'title' is required and may have 255 characters."
	}
	if text, _ := object["url"].(string); text == "" {
		errs["url"] = "'url' is required."
	} else if u, err := url.Parse(text); err != nil || u.Scheme == "" {
		errs["url"] = "The url is not valid."
	}
	if global, is := o["globalId"].(string); o["globalId"] != nil && (!is || len(global) > 255) {
		errs["globalId"] = "The global ID may have 255 characters."
	}
	return errs
}

// putRemoteLink makes a link, or replaces the one with the same global ID.
func (j *Jira) putRemoteLink(r *request) answer {
	i := j.visible(r.user, r.path["issue"])
	switch {
	case i == nil:
		return gone(noIssue)
	case !j.may(r.user, i.project, LinkIssues):
		return noPermission("You do not have permission to link issues.")
	}
	o := r.object()
	if errs := readRemote(o); len(errs) > 0 {
		return wrong(errs)
	}
	global, _ := o["globalId"].(string)
	at := slices.IndexFunc(i.remotes, func(l *remoteLink) bool { return global != "" && l.global == global })
	l := &remoteLink{global: global, body: o}
	known := at >= 0
	if known {
		l = i.remotes[at]
		l.body = o
	} else {
		l.id = j.id()
		i.remotes = append(i.remotes, l)
	}
	body := Object{"id": l.id, "self": j.self(j.viewOf(r), "issue", i.key(), "remotelink", strconv.Itoa(l.id))}
	if known {
		return ok(body)
	}
	return created(body)
}

func (j *Jira) remoteOf(r *request, may Permission) (*issue, *remoteLink, *answer) {
	i := j.visible(r.user, r.path["issue"])
	if i == nil {
		a := gone(noIssue)
		return nil, nil, &a
	}
	if !j.may(r.user, i.project, may) {
		a := noPermission("You do not have permission to link issues.")
		return nil, nil, &a
	}
	for _, l := range i.remotes {
		if id := r.path["link"]; id != "" && strconv.Itoa(l.id) == id || id == "" && l.global != "" && l.global == r.query.Get("globalId") {
			return i, l, nil
		}
	}
	a := gone("The remote issue link does not exist.")
	return nil, nil, &a
}

func (j *Jira) getRemoteLink(r *request) answer {
	i, l, bad := j.remoteOf(r, Browse)
	if bad != nil {
		return *bad
	}
	return ok(j.remoteJSON(i, l, j.viewOf(r)))
}

func (j *Jira) updateRemoteLink(r *request) answer {
	_, l, bad := j.remoteOf(r, LinkIssues)
	if bad != nil {
		return *bad
	}
	o := r.object()
	if errs := readRemote(o); len(errs) > 0 {
		return wrong(errs)
	}
	l.body = o
	l.global, _ = o["globalId"].(string)
	return noContent()
}

func (j *Jira) deleteRemoteLink(r *request) answer {
	i, l, bad := j.remoteOf(r, LinkIssues)
	if bad != nil {
		return *bad
	}
	i.remotes = slices.DeleteFunc(slices.Clone(i.remotes), func(o *remoteLink) bool { return o == l })
	return noContent()
}

func (j *Jira) deleteRemoteLinkByGlobalID(r *request) answer {
	if r.query.Get("globalId") == "" {
		return fail(http.StatusBadRequest, "A global ID is required.")
	}
	return j.deleteRemoteLink(r)
}
