package slack

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-release/muster/integrations/slack/slackfake"
	"github.com/muster-release/muster/playbooks"
)

func withHandle(id, user string) playbooks.Person {
	return playbooks.Person{ID: id, Handles: map[string]string{System: user}}
}

// whoIs serves users.info with one user, and says who that is.
func whoIs(t *testing.T, self, user string, people ...playbooks.Person) (id, why string) {
	t.Helper()
	w, _ := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "auth.test") {
			saying(200, self)(w, r)
			return
		}
		saying(200, `{"ok":true,"user":`+user+`}`)(w, r)
	}, people...)
	id, why, err := w.Person(t.Context(), "U1")
	if err != nil {
		t.Fatal(err)
	}
	return id, why
}

func TestPerson(t *testing.T) {
	const self = `{"ok":true,"user_id":"UBOT","bot_id":"BBOT","team_id":"T1"}`
	const grid = `{"ok":true,"user_id":"UBOT","bot_id":"BBOT","team_id":"T1","enterprise_id":"E1"}`
	user := func(more string) string {
		return `{"id":"U1","team_id":"T1","profile":{"email":"Ann@Example.com"}` + more + `}`
	}
	ann := playbooks.Person{ID: "ann", Email: "ann@example.com"}
	tests := []struct {
		name   string
		self   string
		user   string
		people []playbooks.Person
		want   string
		why    string
	}{
		{"by address", self, user(""), []playbooks.Person{ann}, "ann", ""},
		{"by confirmed address", self, user(`,"is_email_confirmed":true`), []playbooks.Person{ann}, "ann", ""},
		{"by address that is not confirmed", self, user(`,"is_email_confirmed":false`), []playbooks.Person{ann}, "", "I do not know you"},
		{"by account", self, user(""), []playbooks.Person{withHandle("bob", "U1")}, "bob", ""},
		{"by account before address", self, user(""), []playbooks.Person{ann, withHandle("bob", "U1")}, "bob", ""},
		{"address of somebody with another account", self, user(""), []playbooks.Person{{ID: "ann", Email: "ann@example.com", Handles: map[string]string{System: "U2"}}}, "", "I do not know you"},
		{"account of another chat", self, user(""), []playbooks.Person{{ID: "bob", Handles: map[string]string{"chat": "U1"}}}, "", "I do not know you"},
		{"nobody", self, user(""), []playbooks.Person{{ID: "bob"}, {ID: "cleo", Email: "cleo@example.com"}}, "", `"U1" in "slack"`},
		{"no address on both sides", self, `{"id":"U1","team_id":"T1"}`, []playbooks.Person{{ID: "job"}}, "", "I do not know you"},
		{"several by account", self, user(""), []playbooks.Person{withHandle("bob", "U1"), withHandle("cleo", "U1")}, "", "several people of the configuration have your account"},
		{"several by address", self, user(""), []playbooks.Person{ann, {ID: "ann2", Email: "ANN@example.com"}}, "", "several people of the configuration have your address"},
		{"deactivated", self, user(`,"deleted":true`), []playbooks.Person{ann, withHandle("bob", "U1")}, "", "deactivated"},
		{"bot", self, user(`,"is_bot":true`), []playbooks.Person{withHandle("bob", "U1")}, "", "bots"},
		{"workflow", self, user(`,"is_workflow_bot":true`), []playbooks.Person{withHandle("bob", "U1")}, "", "bots"},
		{"guest", self, user(`,"is_restricted":true`), []playbooks.Person{withHandle("bob", "U1")}, "", "guest"},
		{"guest of one channel", self, user(`,"is_restricted":true,"is_ultra_restricted":true`), []playbooks.Person{ann}, "", "guest"},
		{"stranger", self, user(`,"is_stranger":true`), []playbooks.Person{ann}, "", "another workspace"},
		{"other workspace", self, `{"id":"U1","team_id":"T2","profile":{"email":"ann@example.com"}}`, []playbooks.Person{ann}, "", "another workspace"},
		{"no workspace", self, `{"id":"U1","profile":{"email":"ann@example.com"}}`, []playbooks.Person{ann}, "", "another workspace"},
		{"other workspace of the organisation", grid, `{"id":"U1","team_id":"T2","enterprise_user":{"enterprise_id":"E1"},"profile":{"email":"ann@example.com"}}`, []playbooks.Person{ann}, "ann", ""},
		{"another organisation", grid, `{"id":"U1","team_id":"T2","enterprise_user":{"enterprise_id":"E2"},"profile":{"email":"ann@example.com"}}`, []playbooks.Person{ann}, "", "another workspace"},
		{"organisation, and the app has none", self, `{"id":"U1","team_id":"T2","enterprise_user":{"enterprise_id":""},"profile":{"email":"ann@example.com"}}`, []playbooks.Person{ann}, "", "another workspace"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			id, why := whoIs(t, test.self, test.user, test.people...)
			if id != test.want || !strings.Contains(why, test.why) || (id == "") != (why != "") {
				t.Errorf("it is %q, because %q; want %q", id, why, test.want)
			}
		})
	}
	t.Run("Slackbot", func(t *testing.T) {
		w, _ := serving(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "auth.test") {
				saying(200, self)(w, r)
				return
			}
			saying(200, `{"ok":true,"user":{"id":"USLACKBOT","team_id":"T1"}}`)(w, r)
		}, withHandle("bob", "USLACKBOT"))
		if id, why, err := w.Person(t.Context(), "USLACKBOT"); id != "" || !strings.Contains(why, "bots") || err != nil {
			t.Errorf("Slackbot is %q, %q, %v", id, why, err)
		}
	})
	t.Run("another user's answer", func(t *testing.T) {
		w, _ := serving(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "auth.test") {
				saying(200, self)(w, r)
				return
			}
			saying(200, `{"ok":true,"user":`+user("")+`}`)(w, r)
		}, ann)
		if id, _, err := w.Person(t.Context(), "U2"); id != "" || err == nil {
			t.Errorf("U2 is %q, %v, though Slack spoke of U1", id, err)
		}
	})
}

// What is known of somebody is used for five minutes, and then Slack has to say it again.
func TestPersonIsForgotten(t *testing.T) {
	people := []playbooks.Person{withHandle("ann", "U0001")}
	inBubble(t, slackfake.Options{}, people, func(t *testing.T, v *venue) {
		ann := v.AddUser(slackfake.User{ID: "U0001", Name: "ann"})
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if id, why, err := v.w.Person(t.Context(), ann); id != "ann" || why != "" || err != nil {
					t.Errorf("it is %q, %q, %v", id, why, err)
				}
			})
		}
		all.Wait()
		if n := v.count("users.info"); n != 1 {
			t.Errorf("Slack was asked %d times for the same at once", n)
		}
		v.Deactivate(ann)
		v.SetDown(true)
		time.Sleep(knowUser - time.Second)
		if id, _, err := v.w.Person(t.Context(), ann); id != "ann" || err != nil {
			t.Errorf("just before it is forgotten it is %q, %v", id, err)
		}
		time.Sleep(time.Second)
		if id, _, err := v.w.Person(t.Context(), ann); id != "" || err == nil || isPermanent(err) {
			t.Errorf("while Slack is down it is %q, %v", id, err)
		}
		v.SetDown(false)
		time.Sleep(2 * time.Second)
		if id, why, err := v.w.Person(t.Context(), ann); id != "" || !strings.Contains(why, "deactivated") || err != nil {
			t.Errorf("deactivated is %q, %q, %v", id, why, err)
		}
		// Somebody whom Slack does not know is asked for again after a minute.
		if id, why, err := v.w.Person(t.Context(), "U0002"); id != "" || why == "" || err != nil {
			t.Errorf("unknown is %q, %q, %v", id, why, err)
		}
		asked := v.count("users.info")
		_, _, _ = v.w.Person(t.Context(), "U0002")
		if n := v.count("users.info"); n != asked {
			t.Error("Slack was asked at once again for somebody whom it does not know")
		}
		v.AddUser(slackfake.User{ID: "U0002", Name: "bob"})
		time.Sleep(knowNoUser)
		if _, why, err := v.w.Person(t.Context(), "U0002"); !strings.Contains(why, "I do not know you") || err != nil {
			t.Errorf("a new account is %q, %v", why, err)
		}
	})
}

// Nobody waits in Person when there is too much to ask.
func TestPersonIsPutOff(t *testing.T) {
	inBubble(t, slackfake.Options{}, nil, func(t *testing.T, v *venue) {
		for i := range 60 {
			v.AddUser(slackfake.User{ID: fmt.Sprintf("U%04d", i)})
		}
		putOff := 0
		began := time.Now()
		for i := range 60 {
			if _, _, err := v.w.Person(t.Context(), fmt.Sprintf("U%04d", i)); err != nil {
				if !strings.HasPrefix(behaviour(err), "again in") {
					t.Fatal(err)
				}
				putOff++
			}
		}
		if putOff == 0 || time.Since(began) > time.Second || v.Limits() > 0 {
			t.Errorf("%d were put off, after %v", putOff, time.Since(began))
		}
	})
}

func TestHandle(t *testing.T) {
	people := []playbooks.Person{
		withHandle("ann", "U0001"),
		{ID: "bob", Email: "Bob@Example.com"},
		{ID: "cleo", Email: "cleo@example.com"}, // her account is given to dan
		withHandle("dan", "U0003"),
		{ID: "eve", Email: "shared@example.com"},
		{ID: "fay", Email: "shared@example.com"},
		{ID: "gus", Email: "gus@example.com"}, // deactivated
		{ID: "job"},
		{ID: "new", Email: "new@example.com"},
	}
	inBubble(t, slackfake.Options{}, people, func(t *testing.T, v *venue) {
		v.AddUser(slackfake.User{ID: "U0001", Name: "ann"})
		v.AddUser(slackfake.User{ID: "U0002", Name: "bob", Email: "bob@example.com"})
		v.AddUser(slackfake.User{ID: "U0003", Name: "cleo", Email: "cleo@example.com"})
		v.AddUser(slackfake.User{ID: "U0004", Name: "shared", Email: "shared@example.com"})
		v.AddUser(slackfake.User{ID: "U0005", Name: "gus", Email: "gus@example.com", Bot: true})
		if got := v.w.user("bob"); got != "" {
			t.Errorf("bob is %q before anybody asked", got)
		}
		for person, want := range map[string]string{
			"ann": "U0001", "bob": "U0002", "cleo": "", "dan": "U0003", "eve": "", "fay": "", "gus": "", "job": "", "new": "", "zoe": "",
		} {
			got, err := v.w.Handle(t.Context(), person)
			if got != want || err != nil {
				t.Errorf("%s is %q, %v; want %q", person, got, err, want)
			}
			if got := v.w.user(person); got != want {
				t.Errorf("%s is mentioned as %q, want %q", person, got, want)
			}
			if want == "" {
				continue
			}
			if id, _, err := v.w.Person(t.Context(), want); id != person || err != nil {
				t.Errorf("%s is %q, %v; want %q", want, id, err, person)
			}
		}
		asked := v.count("users.lookupByEmail")
		_, _ = v.w.Handle(t.Context(), "new")
		_, _ = v.w.Handle(t.Context(), "bob")
		if n := v.count("users.lookupByEmail"); n != asked {
			t.Errorf("what is known was asked for again")
		}
		v.AddUser(slackfake.User{ID: "U0009", Name: "new", Email: "new@example.com"})
		time.Sleep(knowNoEmail)
		if got, err := v.w.Handle(t.Context(), "new"); got != "U0009" || err != nil {
			t.Errorf("a new account is %q, %v", got, err)
		}
		time.Sleep(knowEmail)
		v.SetDown(true)
		if got, err := v.w.Handle(t.Context(), "bob"); got != "" || err == nil {
			t.Errorf("while Slack is down bob is %q, %v", got, err)
		}
	})
}

func TestMembers(t *testing.T) {
	people := []playbooks.Person{withHandle("ann", "U0001"), {ID: "bob", Email: "bob@example.com"}, withHandle("gus", "U0005")}
	inBubble(t, slackfake.Options{}, people, func(t *testing.T, v *venue) {
		v.AddUser(slackfake.User{ID: "U0001"})
		v.AddUser(slackfake.User{ID: "U0002", Email: "bob@example.com"})
		v.AddUser(slackfake.User{ID: "U0003"})
		v.AddUser(slackfake.User{ID: "U0004", Team: slackfake.ForeignTeam, Email: "bob@example.com"})
		v.AddUser(slackfake.User{ID: "U0005", Deleted: true})
		id := v.AddUserGroup(slackfake.Group{Handle: "qa", Users: []string{"U0001", "U0002", "U0003", "U0004", "U0005"}})
		v.AddUserGroup(slackfake.Group{Handle: "ops", Users: []string{"U0001"}})
		for _, name := range []string{id, "@qa", "@QA"} {
			got, strangers, err := v.w.Members(t.Context(), name)
			if err != nil || !slices.Equal(got, []string{"ann", "bob"}) || !slices.Equal(strangers, []string{"U0003", "U0004", "U0005"}) {
				t.Errorf("in %s are %v and %v, %v", name, got, strangers, err)
			}
		}
		if n := v.count("usergroups.users.list"); n != 1 {
			t.Errorf("the same group was asked for %d times at once", n)
		}
		v.SetUserGroup(id, "U0002")
		time.Sleep(knowGroup)
		if got, strangers, err := v.w.Members(t.Context(), "@qa"); err != nil || !slices.Equal(got, []string{"bob"}) || len(strangers) > 0 {
			t.Errorf("after a change they are %v and %v, %v", got, strangers, err)
		}
		if _, _, err := v.w.Members(t.Context(), "@nobody"); behaviour(err) != "permanent gone" {
			t.Errorf("a group that is not there is %s", behaviour(err))
		}
		if _, _, err := v.w.Members(t.Context(), "S9999"); behaviour(err) != "permanent gone" {
			t.Errorf("a group that is not there is %s", behaviour(err))
		}
		// One who cannot be looked up makes the whole unknown: nobody may be left out of a group.
		time.Sleep(knowUser)
		v.SetFault(func(c slackfake.Call) slackfake.Fault {
			if c.Method == "users.info" {
				return slackfake.Fault{Kind: slackfake.ServerError}
			}
			return slackfake.Fault{}
		})
		if got, _, err := v.w.Members(t.Context(), "@ops"); err == nil || got != nil {
			t.Errorf("while Slack is down they are %v", got)
		}
	})
}

// A group that is larger than what Slack lets be asked in a minute is read all the same.
func TestMembersOfLargeGroup(t *testing.T) {
	var people []playbooks.Person
	var users []string
	for i := range 150 {
		users = append(users, fmt.Sprintf("U%04d", i))
		people = append(people, withHandle(fmt.Sprint("p", i), users[i]))
	}
	inBubble(t, slackfake.Options{}, people, func(t *testing.T, v *venue) {
		for _, user := range users {
			v.AddUser(slackfake.User{ID: user})
		}
		id := v.AddUserGroup(slackfake.Group{Handle: "all", Users: users})
		got, _, err := v.w.Members(t.Context(), id)
		if err != nil || len(got) != 150 || v.Limits() > 0 {
			t.Errorf("%d of 150 are found, %d calls were refused: %v", len(got), v.Limits(), err)
		}
	})
}
