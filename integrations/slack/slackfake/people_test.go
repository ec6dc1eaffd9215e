package slackfake_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/slack-go/slack"

	"github.com/muster-release/muster/integrations/slack/slackfake"
)

func TestPeopleAndGroups(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	eve := w.AddUser(slackfake.User{Name: "eve", Email: "eve@elsewhere.example", Team: slackfake.ForeignTeam})
	group := w.AddUserGroup(slackfake.Group{Handle: "release-managers", Name: "Release managers", Users: []string{w.ann}})
	u, err := w.api.GetUserByEmail("ANN@example.com")
	if err != nil || u.ID != w.ann || u.Profile.Email != "ann@example.com" {
		t.Errorf("by e-mail: %+v, %v", u, err)
	}
	_, err = w.api.GetUserByEmail("eve@elsewhere.example")
	wantCode(t, err, "users_not_found")
	if u, err = w.api.GetUserInfo(eve); err != nil || !u.IsStranger || u.TeamID != slackfake.ForeignTeam {
		t.Errorf("somebody of another workspace: %+v, %v", u, err)
	}
	w.Deactivate(w.bob)
	if u, err = w.api.GetUserInfo(w.bob); err != nil || !u.Deleted {
		t.Errorf("somebody without an account: %+v, %v", u, err)
	}
	_, err = w.api.GetUserByEmail("bob@example.com")
	wantCode(t, err, "users_not_found")
	groups, err := w.api.GetUserGroups(slack.GetUserGroupsOptionIncludeUsers(true))
	if err != nil || len(groups) != 1 || groups[0].Handle != "release-managers" || !slices.Equal(groups[0].Users, []string{w.ann}) {
		t.Errorf("groups = %+v, %v", groups, err)
	}
	w.SetUserGroup(group, w.ann, w.bob)
	if members, err := w.api.GetUserGroupMembers(group); err != nil || !slices.Equal(members, []string{w.ann, w.bob}) {
		t.Errorf("members = %v, %v", members, err)
	}
	_, err = w.api.GetUserGroupMembers("S9999")
	wantCode(t, err, "no_such_subteam")
	if team, err := w.api.GetTeamInfo(); err != nil || team.ID != slackfake.TeamID {
		t.Errorf("team = %+v, %v", team, err)
	}
}

func TestChannels(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	for _, name := range []string{"one", "two", "three"} {
		w.AddChannel(slackfake.Channel{Name: name})
	}
	w.AddChannel(slackfake.Channel{Name: "secret", Private: true})
	inside := w.AddChannel(slackfake.Channel{Name: "inside", Private: true, Members: []string{slackfake.BotUser}})
	var names []string
	cursor := ""
	for {
		some, next, err := w.api.GetConversations(&slack.GetConversationsParameters{Cursor: cursor, Limit: 2, Types: []string{"public_channel", "private_channel"}})
		if err != nil {
			t.Fatal(err)
		}
		if len(some) > 2 {
			t.Errorf("a page of %d", len(some))
		}
		for _, c := range some {
			names = append(names, c.Name)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if want := []string{"releases", "one", "two", "three", "inside"}; !slices.Equal(names, want) {
		t.Errorf("channels = %v, want %v", names, want)
	}
	mine, _, err := w.api.GetConversationsForUser(&slack.GetConversationsForUserParameters{Types: []string{"public_channel", "private_channel"}})
	if err != nil || len(mine) != 2 {
		t.Errorf("the bot's channels = %+v, %v", mine, err)
	}
	c, err := w.api.GetConversationInfo(&slack.GetConversationInfoInput{ChannelID: inside})
	if err != nil || !c.IsMember || !c.IsPrivate {
		t.Errorf("channel = %+v, %v", c, err)
	}
	w.Remove(inside, slackfake.BotUser)
	_, err = w.api.GetConversationInfo(&slack.GetConversationInfoInput{ChannelID: inside})
	wantCode(t, err, "channel_not_found")

	dm, _, known, err := w.api.OpenConversation(&slack.OpenConversationParameters{Users: []string{w.ann}, ReturnIM: true})
	if err != nil || known || !strings.HasPrefix(dm.ID, "D") || dm.ID != w.DM(w.ann) {
		t.Errorf("direct message = %+v, %v, %v", dm, known, err)
	}
	if _, _, known, _ = w.api.OpenConversation(&slack.OpenConversationParameters{Users: []string{w.ann}}); !known {
		t.Error("the same direct message was opened twice")
	}
	w.Deactivate(w.bob)
	_, _, _, err = w.api.OpenConversation(&slack.OpenConversationParameters{Users: []string{w.bob}})
	wantCode(t, err, "user_disabled")

	if _, err := w.api.PostEphemeral(w.releases, w.ann, slack.MsgOptionText("for you", false)); err != nil || len(w.Ephemerals(w.ann)) != 1 || len(w.Messages(w.releases)) != 0 {
		t.Errorf("ephemeral: %+v, %v", w.Ephemerals(w.ann), err)
	}
	stranger := w.AddUser(slackfake.User{Name: "zoe"})
	_, err = w.api.PostEphemeral(w.releases, stranger, slack.MsgOptionText("for you", false))
	wantCode(t, err, "user_not_in_channel")
}

// An app that hears of direct messages hears of its own as well.
func TestOwnMessagesComeBack(t *testing.T) {
	w := newWorld(t, slackfake.Options{NoTiers: true})
	a := newApp(t, w.Workspace)
	_, ts, err := w.api.PostMessage(w.ann, slack.MsgOptionText("hello", false))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := w.api.UpdateMessage(w.DM(w.ann), ts, slack.MsgOptionText("hello again", false)); err != nil {
		t.Fatal(err)
	}
	heard := func(word string) bool {
		return slices.ContainsFunc(a.all(), func(g got) bool {
			return strings.Contains(g.body, word) && strings.Contains(g.body, `"bot_id":"`+slackfake.BotID+`"`)
		})
	}
	if err := w.Wait(within(t), func() bool { return heard(`"text":"hello"`) && heard("message_changed") }); err != nil {
		t.Errorf("the app heard %+v", a.all())
	}
}
