package configs_test
import ("testing";"time";"fmt";"os")
func FuzzHang(f *testing.F) {
	for _, seed := range []string{
		"", "a", "[", "{", "- - -", "a: &a [*a]", "? a", "<<: *a", "%YAML 1.2\n---\n", "a: |\n  b\n", "a: !!str b",
		"environments: [{name: live, approvals: none}]\nmodules: [{name: a, needs: [b]}, {name: b, deploy: {in: {live: {strategy: {canary: [{share: 5, bake: 3d}]}}}}}]",
		"people: [{id: ann, handles: {x: y}}]\ngroups: [{name: g, members: [ann, g]}]\naccess: [{who: [everyone], role: admin}]",
	} { f.Add([]byte(seed)) }
	f.Fuzz(func(t *testing.T, content []byte) {
		tm := time.AfterFunc(2*time.Second, func(){ os.WriteFile(fmt.Sprintf("/tmp/hang-%d", os.Getpid()), content, 0o644); panic(fmt.Sprintf("hang %q", content)) })
		loadText(string(content))
		tm.Stop()
	})
}
