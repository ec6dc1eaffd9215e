package configs

import "reflect"

// Equal reports whether two settings are the same, what their secrets hold
// included: two values of Server, or of anything in it. Lists of nothing are the same whether
// they are nil or not. It has no effect, and may be called concurrently.
func Equal[T any](x, y T) bool {
	return equal(reflect.ValueOf(&x).Elem(), reflect.ValueOf(&y).Elem())
}

func equal(x, y reflect.Value) bool {
	if secret, ok := x.Interface().(Secret); ok {
		return secret.Reveal() == y.Interface().(Secret).Reveal()
	}
	switch x.Kind() {
	case reflect.Struct:
		for i := range x.NumField() {
			if !equal(x.Field(i), y.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Pointer:
		if x.IsNil() || y.IsNil() {
			return x.IsNil() == y.IsNil()
		}
		return equal(x.Elem(), y.Elem())
	case reflect.Slice:
		if x.Len() != y.Len() {
			return false
		}
		for i := range x.Len() {
			if !equal(x.Index(i), y.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		if x.Len() != y.Len() {
			return false
		}
		for key, value := range x.Seq2() {
			other := y.MapIndex(key)
			if !other.IsValid() || !equal(value, other) {
				return false
			}
		}
		return true
	}
	return x.Equal(y)
}
