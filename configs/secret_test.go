package configs_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"text/template"

	"github.com/goccy/go-yaml"

	"github.com/muster-release/muster/configs"
)

func TestSecretStaysSecret(t *testing.T) {
	const value = "correct-horse"
	type inner struct{ hidden configs.Secret }
	type holder struct {
		Secret  configs.Secret
		Pointer *configs.Secret
		Map     map[string]configs.Secret
		inner   inner
	}
	secret := configs.NewSecret(value)
	held := holder{secret, &secret, map[string]configs.Secret{"a": secret}, inner{secret}}

	shown := make(map[string]string)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%10s", "%!"} {
		shown["secret as "+verb] = fmt.Sprintf(verb, secret)
		shown["pointer as "+verb] = fmt.Sprintf(verb, &secret)
		shown["holder as "+verb] = fmt.Sprintf(verb, held)
		shown["pointer to holder as "+verb] = fmt.Sprintf(verb, &held)
	}
	shown["error"] = fmt.Errorf("login: %w: %v", errors.ErrUnsupported, secret).Error()
	shown["print"] = fmt.Sprint(secret, held)
	for _, v := range []any{secret, &secret, held.Map, struct{ S configs.Secret }{secret}} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		shown[fmt.Sprintf("json of %T", v)] = string(data)
		if data, err = yaml.Marshal(v); err != nil {
			t.Fatal(err)
		}
		shown[fmt.Sprintf("yaml of %T", v)] = string(data)
	}
	data, err := xml.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	shown["xml"] = string(data)
	var out bytes.Buffer
	_ = gob.NewEncoder(&out).Encode(secret)
	shown["gob"] = out.String()
	out.Reset()
	if err := template.Must(template.New("").Parse("{{.}} {{printf `%v` .}}")).Execute(&out, secret); err != nil {
		t.Fatal(err)
	}
	shown["template"] = out.String()
	out.Reset()
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("configured", "secret", secret, "pointer", &secret, "holder", held)
	}
	shown["slog"] = out.String()
	out.Reset()
	dump(&out, reflect.ValueOf(held), 0)
	shown["reflection"] = out.String()

	for how, text := range shown {
		for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value), fmt.Sprintf("%d", []byte(value))} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows the secret: %s", how, text)
			}
		}
	}
	for _, how := range []string{"secret as %v", "secret as %#v", "secret as %q", "json of configs.Secret", "xml", "slog"} {
		if !strings.Contains(shown[how], "***") {
			t.Errorf("%s = %q, want *** in it", how, shown[how])
		}
	}
	if got := secret.Reveal(); got != value {
		t.Errorf("Reveal() = %q", got)
	}
	if zero := (configs.Secret{}); zero.Reveal() != "" {
		t.Error("the zero Secret holds something")
	}
}

// dump writes everything that reflection finds, unexported or not, as debugging
// libraries do.
func dump(out *bytes.Buffer, v reflect.Value, depth int) {
	if depth > 10 {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			dump(out, v.Field(i), depth+1)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			dump(out, v.Elem(), depth+1)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			dump(out, v.MapIndex(key), depth+1)
		}
	default:
		fmt.Fprintf(out, "%v ", v)
	}
}

// TestSecretsNotInProblems makes every mistake that could drag a literal secret
// into what people are shown.
func TestSecretsNotInProblems(t *testing.T) {
	const value = "hunter2"
	for name, content := range map[string]string{
		"literal":         "server:\n  tokens:\n    - person: ann\n      token: hunter2\n",
		"quoted":          "server:\n  tokens:\n    - {person: anx, token: \"hunter2\"}\n",
		"misspelled key":  "server:\n  tokens:\n    - person: ann\n      tokn: hunter2\n",
		"other key":       "server:\n  tokens:\n    - {person: ann, x: hunter2}\n",
		"list":            "server:\n  tokens:\n    - {person: ann, token: [a, hunter2], z: 1}\n",
		"mapping":         "server:\n  tokens:\n    - {person: ann, token: {a: hunter2}, z: 1}\n",
		"number":          "server:\n  tokens:\n    - {person: ann, token: 7, z: hunter2}\n",
		"beside":          "server: {tokens: [{token: hunter2, person: nobody}]}\n",
		"instead":         "server:\n  tokens: hunter2\n",
		"wrong place":     "server:\n  token: hunter2\n",
		"top level":       "token: hunter2\n",
		"literal block":   "server:\n  tokens:\n    - person: ann\n      token: |\n        hunter2\n        hunter2\n",
		"folded":          "server:\n  tokens:\n    - person: ann\n      token: a\n        hunter2\n",
		"syntax":          "server:\n  tokens:\n    - {person: ann, token: hunter2\n",
		"syntax, same":    "server:\n  tokens:\n    - {person: ann, token: hunter2}}\n",
		"alias":           "server:\n  tokens:\n    - {person: ann, token: &a hunter2}\n    - {person: *a, token: *a}\n",
		"url":             "server:\n  url: https://ann:hunter2@muster.example\n",
		"slack":           "server:\n  slack: {botToken: hunter2, appToken: xapp-hunter2, signingSecret: hunter2, x: hunter2}\n",
		"slack, instead":  "server:\n  slack: hunter2\n",
		"slack, nested":   "server:\n  slack: {botToken: [hunter2], appToken: {a: hunter2}, apiURL: \"https://a:hunter2@b.example\"}\n",
		"slack, lines":    "server:\n  slack:\n    signingSecret: a\n      hunter2\n    botTokens: |\n      hunter2\n",
		"slack, outside":  "slack:\n  botToken: hunter2\n",
		"gitlab":          "server:\n  gitlab: {url: \"https://a:hunter2@b.example\", token: hunter2, webhookSecret: [hunter2], signingSecret: whsec_hunter2, x: hunter2}\n",
		"jira":            "server:\n  jira: {url: x, token: {a: hunter2}, webhookSecret: hunter2, tokn: hunter2}\n",
		"jira, instead":   "server:\n  jira: hunter2\n  gitlab: [hunter2]\n",
		"pagerduty":       "server:\n  pagerduty: {routingKey: hunter2, token: hunter2, routing: hunter2, apiURL: \"https://a:hunter2@b.example\"}\n",
		"routing key":     "pagerduty:\n  routingKey: hunter2\n",
		"alertmanager":    "server:\n  alertmanager: {user: \"a:hunter2\", password: hunter2, pasword: hunter2, token: hunter2}\n",
		"registries":      "server:\n  registries: [hunter2, {host: \"a:hunter2@b\", user: \"a:hunter2\", password: hunter2, pass: hunter2}]\n",
		"source":          "modules:\n  - {name: a, source: \"https://a:hunter2@b.example/c\"}\n",
		"broken variable": "server:\n  tokens:\n    - person: ann\n      token: ${A}hunter2\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadText("environments: [{name: live}]\npeople: [{id: ann}]\n" + content)
			if err == nil {
				t.Fatal("no error")
			}
			for _, p := range problemsOf(t, err) {
				// Where an alias makes a person of the secret, the message must name it.
				if name == "alias" && strings.Contains(p.Message, "speaks for") {
					continue
				}
				if strings.Contains(fmt.Sprintf("%+v", p), value) {
					t.Errorf("problem shows the secret: %v", p)
				}
			}
		})
	}
}
