//! Expressions that cost much: some written, any number made up.

/// Each the worst of its kind that was thought of; some do not load.
pub(crate) fn written() -> Vec<String> {
    let repeated = |part: &str, between: &str, times: usize| vec![part; times].join(between);
    let mut all: Vec<String> = [
        "claims.a.contains(claims.b)",
        "claims in claims.l",
        "claims.a + claims.a == 1",
        "claims.l.exists(x, x.contains(\"z\"))",
        "claims.l.exists(x, x == claims.a)",
        "claims.l.exists(x, x.startsWith(claims.a))",
        "claims.l.filter(x, x == 1).size() == 1",
        "claims.l.map(x, x).size() == 1",
        "claims.l.exists_one(x, x.a == 1)",
        "claims.o.exists(k, claims.o[k] == \"x\")",
        "[claims, claims].map(x, x) == [claims]",
        "string(claims.a) in claims.l",
        "claims.l.exists(x, x.matches(\"[ab]*a[ab]{5}z\"))",
        "claims.l.map(x, claims.l).size() == 1",
        "claims.l.exists(x, x in claims.l)",
    ]
    .map(str::to_owned)
    .into();
    // As many as load of what costs by the piece.
    for times in 1..12 {
        all.push(repeated("claims.a.contains(claims.b)", " || ", times));
        all.push(repeated("claims.l.exists(x, x < \"a\")", " || ", times));
        all.push(repeated("claims.a.matches(\"[ab]*a[ab]{5}z\")", " || ", times));
        all.push(repeated("claims in claims.l", " || ", times));
        all.push(format!("size({}) < 0", repeated("claims.a", " + ", times + 1)));
        all.push(format!("claims.l.exists(x, {})", repeated("x.startsWith(\"z\")", " || ", times)));
        let name = "n".repeat(300 * times);
        all.push(format!("claims.l.exists(x, x.{name} == 1)"));
        all.push(format!("has(claims.o.{})", repeated(&"n".repeat(150), ".", times)));
    }
    all
}

/// Expressions of the whole grammar, the same ones for the same seed.
pub(crate) struct MadeUp(u64);

impl MadeUp {
    pub(crate) fn new(seed: u64) -> MadeUp {
        MadeUp(seed)
    }

    /// Marsaglia's xorshift: nothing here needs better chance.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// A value; `inside` a macro there is an item `x`.
    fn value(&mut self, depth: u32, inside: bool) -> String {
        let Some(depth) = depth.checked_sub(1) else { return self.leaf(inside) };
        match self.below(16) {
            0 => format!("({} + {})", self.value(depth, inside), self.value(depth, inside)),
            1 => format!("[{}, {}]", self.value(depth, inside), self.value(depth, inside)),
            2 => format!("string({})", self.value(depth, inside)),
            3 => format!("size({})", self.value(depth, inside)),
            4 => {
                let question = self.truth(depth, inside);
                format!("({question} ? {} : {})", self.value(depth, inside), self.value(depth, inside))
            }
            5 => format!("{}[{}]", self.value(depth, inside), self.value(depth, inside)),
            6 if !inside => format!("{}.map(x, {})", self.value(depth, false), self.value(depth, true)),
            7 if !inside => format!("{}.filter(x, {})", self.value(depth, false), self.truth(depth, true)),
            8 => format!("{{\"k\": {}}}", self.value(depth, inside)),
            9 => format!("{}.a.b", self.value(depth, inside)),
            _ => self.leaf(inside),
        }
    }

    fn leaf(&mut self, inside: bool) -> String {
        let leaves = ["claims.a", "claims.b", "claims.l", "claims.m", "claims.o", "claims", "\"zz\"", "1", "x", "x.a"];
        let count = if inside { leaves.len() } else { leaves.len() - 2 };
        leaves[usize::try_from(self.below(count as u64)).unwrap()].to_owned()
    }

    fn truth(&mut self, depth: u32, inside: bool) -> String {
        let Some(depth) = depth.checked_sub(1) else {
            return ["claims.t", "has(claims.o.k1)", "false"][usize::try_from(self.below(3)).unwrap()].to_owned();
        };
        let binary = ["==", "!=", "<", ">=", "in"];
        match self.below(14) {
            which @ 0..=4 => {
                let operator = binary[usize::try_from(which).unwrap()];
                format!("{} {operator} {}", self.value(depth, inside), self.value(depth, inside))
            }
            5 => format!("{}.contains({})", self.value(depth, inside), self.value(depth, inside)),
            6 => format!("{}.startsWith({})", self.value(depth, inside), self.value(depth, inside)),
            7 => format!("{}.matches(\"^(a|aa|[b-z0-9]*x)*$b\")", self.value(depth, inside)),
            8 => format!("({} && {})", self.truth(depth, inside), self.truth(depth, inside)),
            9 => format!("({} || !{})", self.truth(depth, inside), self.truth(depth, inside)),
            10 => format!("int({}) == 4", self.value(depth, inside)),
            11 => format!("-{} < 1", self.value(depth, inside)),
            _ if inside => format!("({} || {})", self.truth(depth, true), self.truth(depth, true)),
            which => {
                let function = if which == 12 { "exists" } else { "all" };
                format!("{}.{function}(x, {})", self.value(depth, false), self.truth(depth, true))
            }
        }
    }
}

impl Iterator for MadeUp {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let depth = 2 + u32::try_from(self.below(3)).unwrap();
        Some(self.truth(depth, false))
    }
}
