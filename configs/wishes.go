package configs

// wish is something that an outside system has to do or to know.
type wish struct {
	at     mark
	system string
	say    string // what is said with it: `group "on-call" has members`
	// always: it is a mistake even where no server is configured.
	always bool
}

// wish remembers that what n says needs a system.
func (d *decoder) wish(n *node, system, say string) {
	d.wishes = append(d.wishes, wish{at: n.at, system: system, say: say})
}

// checkWishes reports what needs a system that is not configured. A catalog without
// a section server is planned on machines that serve nothing, and an embedded world stands in
// for every system, so there only what makes no sense at all alone is a mistake.
func (d *decoder) checkWishes() {
	for group, in := range d.rolls {
		if at, ok := in[pagerdutySystem]; ok {
			d.wishes = append(d.wishes, wish{at, pagerdutySystem, "group " + quote(group) + " has its members on call in PagerDuty", true})
		}
	}
	for _, w := range d.wishes {
		if !w.always && (!d.serves || d.server.World == WorldLocal) {
			continue
		}
		switch {
		case w.system == gitlabSystem && d.server.GitLab == nil,
			w.system == jiraSystem && d.server.Jira == nil,
			w.system == alertmanagerSystem && d.server.Alertmanager == nil,
			w.system == pagerdutySystem && d.server.PagerDuty == nil:
			d.report(w.at, "", "%s, and there is no server: %s: for that", w.say, w.system)
		case w.system == registrySystem && d.server.Registries == nil:
			d.report(w.at, "", "%s, and there is no server: registries: for that", w.say)
		case w.system == pagerdutySystem && !d.schedules:
			d.report(w.at, "", "%s, and server: pagerduty: has no token to ask for schedules", w.say)
		}
	}
}
