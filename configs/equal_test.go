package configs_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/muster-release/muster/configs"
)

// full returns settings in which everything is set.
func full() configs.Server {
	return configs.Server{
		Listen: "a", Data: "b", URL: "c", Tokens: []configs.Token{{Person: "d", Token: configs.NewSecret("e")}}, World: "f",
		Slack: &configs.Slack{
			BotToken: configs.NewSecret("a"), AppToken: configs.NewSecret("b"), SigningSecret: configs.NewSecret("c"),
			APIURL: "d", Connections: 2, Channels: []string{"e"},
		},
		GitLab: &configs.GitLab{
			URL: "a", Token: configs.NewSecret("b"), WebhookSecret: configs.NewSecret("c"), SigningSecret: configs.NewSecret("d"),
			BuildReport: "e", Record: []string{"f", "g"},
		},
		Jira: &configs.Jira{
			URL: "a", Email: "b", Token: configs.NewSecret("c"), WebhookSecret: configs.NewSecret("d"), Project: "e", IssueType: "f",
			Labels: []string{"g"}, Fields: map[string]string{"h": "i"}, Transitions: map[string][]string{"held": {"j", "k"}},
			TransitionFields: map[string]string{"l": "m"}, FixVersion: "n", LinkType: "o", Edits: "p", IndexLag: time.Second,
			Approve: "q", Reject: "r", StoryProjects: []string{"s"},
		},
		PagerDuty: &configs.PagerDuty{
			RoutingKey: configs.NewSecret("a"), Token: configs.NewSecret("b"), After: time.Minute, EventsURL: "c", APIURL: "d",
		},
		Alertmanager: &configs.Alertmanager{User: "a", Password: configs.NewSecret("b"), Token: configs.NewSecret("c")},
		Registries:   []configs.Registry{{Host: "a", User: "b", Password: configs.NewSecret("c")}},
	}
}

// Whatever is changed in settings makes them others, each secret included.
func TestEqual(t *testing.T) {
	if x, y := full(), full(); !configs.Equal(x, y) || !configs.Equal(&x, &y) || !configs.Equal(x.Jira, y.Jira) {
		t.Error("settings that are the same are not equal")
	}
	if !configs.Equal([]string{}, nil) || !configs.Equal[*configs.Slack](nil, nil) {
		t.Error("nothing is not equal to nothing")
	}
	settings, changes := full(), 0
	var change func(path string, v reflect.Value)
	change = func(path string, v reflect.Value) {
		var others []any
		switch x := v.Interface().(type) {
		case configs.Secret:
			others = []any{configs.Secret{}, configs.NewSecret(x.Reveal() + "x")}
		case map[string]string:
			others = []any{map[string]string{}, map[string]string{"h": "x", "l": "x"}, map[string]string{"x": "i"}}
		case map[string][]string:
			others = []any{map[string][]string{}, map[string][]string{"held": {"j", "x"}}}
		default:
			others = []any{reflect.Zero(v.Type()).Interface()}
			switch v.Kind() {
			case reflect.Struct:
				for i := range v.NumField() {
					change(path+"."+v.Type().Field(i).Name, v.Field(i))
				}
				return
			case reflect.Pointer:
				change(path, v.Elem())
			case reflect.Slice:
				change(path+"[0]", v.Index(0))
				others = append(others, reflect.Append(v, v.Index(0)).Interface())
			}
		}
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		for _, other := range others {
			v.Set(reflect.ValueOf(other))
			if changes++; configs.Equal(settings, full()) || configs.Equal(full(), settings) {
				t.Errorf("%s is another, and the settings are equal", path)
			}
		}
		v.Set(old)
	}
	change("server", reflect.ValueOf(&settings).Elem())
	if !configs.Equal(settings, full()) || changes < 50 {
		t.Errorf("only %d changes were tried, or not all were taken back", changes)
	}
}
