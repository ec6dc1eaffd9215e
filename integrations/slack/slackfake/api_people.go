package slackfake

import (
	"maps"
	"slices"
	"strings"
)

func (w *Workspace) authTest(args) (Object, *problem) {
	return Object{
		"url": "https://" + TeamDomain + ".slack.com/", "team": TeamDomain, "user": w.opts.Bot, "team_id": TeamID,
		"user_id": BotUser, "bot_id": BotID, "is_enterprise_install": false,
	}, nil
}

func (w *Workspace) teamInfo(args) (Object, *problem) {
	return Object{"team": Object{"id": TeamID, "name": TeamDomain, "domain": TeamDomain, "email_domain": ""}}, nil
}

func (w *Workspace) userObject(u *User) Object {
	profile := Object{"real_name": u.RealName, "display_name": u.Name, "team": u.Team}
	if u.Email != "" && slices.Contains(w.scopes, "users:read.email") {
		profile["email"] = u.Email
	}
	o := Object{
		"id": u.ID, "team_id": u.Team, "name": u.Name, "real_name": u.RealName, "deleted": u.Deleted, "is_bot": u.Bot,
		"is_app_user": false, "profile": profile, "tz": "Europe/Amsterdam", "updated": 1700000000,
	}
	if u.Team != TeamID {
		o["is_stranger"] = true
	}
	return o
}

func (w *Workspace) usersInfo(a args) (Object, *problem) {
	u := w.users[a["user"]]
	if u == nil {
		return nil, fails("user_not_found")
	}
	return Object{"user": w.userObject(u)}, nil
}

// lookupByEmail does not find people whose account was taken away, nor those of other workspaces.
func (w *Workspace) lookupByEmail(a args) (Object, *problem) {
	for _, u := range w.users {
		if u.Email != "" && strings.EqualFold(u.Email, a["email"]) && !u.Deleted && u.Team == TeamID {
			return Object{"user": w.userObject(u)}, nil
		}
	}
	return nil, fails("users_not_found")
}

func (w *Workspace) usergroupsList(a args) (Object, *problem) {
	all := []Object{}
	for _, id := range slices.Sorted(maps.Keys(w.groups)) {
		g := w.groups[id]
		if g.Disabled && !a.flag("include_disabled") {
			continue
		}
		o := Object{
			"id": g.ID, "team_id": TeamID, "is_usergroup": true, "name": g.Name, "handle": g.Handle, "description": "",
			"is_external": false, "date_delete": 0, "user_count": len(g.Users),
		}
		if g.Disabled {
			o["date_delete"] = 1700000000
		}
		if a.flag("include_users") {
			o["users"] = append([]string{}, g.Users...)
		}
		all = append(all, o)
	}
	return Object{"usergroups": all}, nil
}

func (w *Workspace) usergroupsUsers(a args) (Object, *problem) {
	g := w.groups[a["usergroup"]]
	if g == nil || g.Disabled && !a.flag("include_disabled") {
		return nil, fails("no_such_subteam")
	}
	return Object{"users": append([]string{}, g.Users...)}, nil
}
