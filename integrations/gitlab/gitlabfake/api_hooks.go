package gitlabfake

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Hooks through the API: docs.gitlab.com/api/project_webhooks, /group_webhooks, /system_hooks

func (q *request) hookList() *[]*hook {
	switch {
	case q.project != nil:
		return &q.project.hooks
	case q.group != nil:
		return &q.group.hooks
	}
	return &q.s.system
}

func flagOf(event string) string { return event + "_events" }

func (q *request) hookJSON(h *hook) object {
	o := object{
		"id": h.id, "url": h.URL, "name": "", "description": "", "created_at": stamp(h.created), "alert_status": h.alert(time.Now()),
		"disabled_until": stamp(h.until), "enable_ssl_verification": true, "url_variables": []any{}, "custom_headers": []any{},
		"push_events_branch_filter": h.Branches, "token_present": h.Secret != "", "signing_token_present": h.Signing != "",
	}
	for _, e := range hookEvents {
		o[flagOf(e)] = h.Events == nil || slices.Contains(h.Events, e)
	}
	if q.project != nil {
		o["project_id"] = q.project.id
	}
	if q.group != nil {
		o["group_id"] = q.group.id
	}
	return o
}

func (q *request) listHooks() (any, *problem) {
	var all []any
	for _, h := range *q.hookList() {
		all = append(all, q.hookJSON(h))
	}
	return q.pages(all)
}

func (q *request) theHook() (*hook, *problem) {
	for _, h := range *q.hookList() {
		if strconv.FormatInt(h.id, 10) == q.param("hook") {
			return h, nil
		}
	}
	return nil, notFound("")
}

func (q *request) getHook(h *hook) (any, *problem) {
	return q.hookJSON(h), nil
}

func (q *request) createHook() (any, *problem) {
	if q.str("url") == "" {
		return nil, missing("url")
	}
	if !strings.HasPrefix(q.str("url"), "http") {
		return nil, refuse(http.StatusUnprocessableEntity, "Invalid url given")
	}
	h := Hook{Events: []string{}}
	if !q.has("push_events") {
		h.Events = append(h.Events, "push") // on unless it is switched off
	}
	return q.hookJSON(q.s.addHook(q.hookList(), q.changeHook(h))), nil
}

func (q *request) editHook(h *hook) (any, *problem) {
	h.Hook = q.changeHook(h.Hook)
	h.fails, h.off, h.until = 0, false, time.Time{}
	return q.hookJSON(h), nil
}

func (q *request) changeHook(h Hook) Hook {
	h.URL, h.Secret = cmp.Or(q.str("url"), h.URL), cmp.Or(q.str("token"), h.Secret)
	h.Signing = cmp.Or(q.str("signing_token"), h.Signing)
	h.Branches = cmp.Or(q.str("push_events_branch_filter"), h.Branches)
	events := h.Events
	if events == nil {
		events = hookEvents
	}
	h.Events = []string{}
	for _, e := range hookEvents {
		if q.flag(flagOf(e)) || !q.has(flagOf(e)) && slices.Contains(events, e) {
			h.Events = append(h.Events, e)
		}
	}
	return h
}

func (q *request) deleteHook(h *hook) (any, *problem) {
	list := q.hookList()
	*list = slices.DeleteFunc(slices.Clone(*list), func(one *hook) bool { return one == h })
	return nil, nil
}
