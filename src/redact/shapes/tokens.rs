//! The table of tokens that their own beginning gives away.

use super::alphabet::Alphabet::{self, Alnum, Crypt, Dotted, Hex, Token as Any, Upper, Word};

/// A token: what it begins with, and what follows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) prefix: &'static str,
    pub(super) alphabet: Alphabet,
    /// How many characters have to follow the prefix.
    pub(super) least: usize,
    /// Whether no more may follow.
    pub(super) exact: bool,
    /// Whether it may not stand inside a word: short prefixes would be found everywhere.
    pub(super) alone: bool,
}

const fn token(prefix: &'static str, alphabet: Alphabet, least: usize) -> Token {
    Token { prefix, alphabet, least, exact: false, alone: false }
}

const fn word(prefix: &'static str, alphabet: Alphabet, least: usize) -> Token {
    Token { prefix, alphabet, least, exact: false, alone: true }
}

const fn exactly(prefix: &'static str, alphabet: Alphabet, least: usize) -> Token {
    Token { prefix, alphabet, least, exact: true, alone: true }
}

/// Lengths are those of the issuers' documentation or a little less, for what they may issue next.
pub(super) const TOKENS: &[Token] = &[
    // Amazon: access key ids, of users and of sessions.
    exactly("AKIA", Upper, 16),
    exactly("ASIA", Upper, 16),
    exactly("ABIA", Upper, 16),
    exactly("ACCA", Upper, 16),
    word("ABSKQ", Any, 40),
    // Google: API keys, OAuth secrets, access and refresh tokens.
    word("AIza", Word, 35),
    token("GOCSPX-", Word, 20),
    word("ya29.", Dotted, 20),
    word("1//0", Word, 40),
    // Forges.
    token("ghp_", Alnum, 30),
    token("gho_", Alnum, 30),
    token("ghu_", Alnum, 30),
    token("ghs_", Word, 30),
    token("ghr_", Alnum, 30),
    token("github_pat_", Word, 22),
    token("glpat-", Dotted, 16),
    token("gldt-", Dotted, 16),
    token("glrt-", Dotted, 16),
    token("glrtr-", Dotted, 16),
    token("glptt-", Dotted, 16),
    token("glcbt-", Dotted, 16),
    token("glft-", Dotted, 16),
    token("glsoat-", Dotted, 16),
    token("glimt-", Dotted, 16),
    token("glagent-", Dotted, 16),
    token("glwt-", Dotted, 16),
    token("gloas-", Dotted, 16),
    word("GR1348941", Word, 16),
    token("ATATT3", Any, 40),
    token("ATCTT3", Any, 40),
    word("ATBB", Alnum, 28),
    // Chat.
    token("xoxb-", Word, 10),
    token("xoxa-", Word, 10),
    token("xoxp-", Word, 10),
    token("xoxr-", Word, 10),
    token("xoxs-", Word, 10),
    token("xoxo-", Word, 10),
    token("xoxc-", Word, 10),
    token("xoxd-", Any, 10),
    token("xoxe-", Word, 10),
    token("xoxe.", Dotted, 10),
    token("xapp-", Word, 20),
    // Payments.
    token("sk_live_", Alnum, 16),
    token("sk_test_", Alnum, 16),
    token("rk_live_", Alnum, 16),
    token("rk_test_", Alnum, 16),
    token("whsec_", Any, 20),
    token("sq0atp-", Word, 20),
    token("sq0csp-", Word, 20),
    word("EAAA", Word, 50),
    word("EAAC", Alnum, 60),
    token("access_token$production$", Crypt, 32),
    token("access_token$sandbox$", Crypt, 32),
    word("shpat_", Hex, 32),
    word("shpss_", Hex, 32),
    word("shpca_", Hex, 32),
    word("shppa_", Hex, 32),
    // Mail and messages.
    word("SG.", Dotted, 40),
    exactly("SK", Hex, 32),
    exactly("key-", Hex, 32),
    token("xkeysib-", Word, 40),
    // Packages and images.
    word("npm_", Alnum, 30),
    token("pypi-AgE", Word, 40),
    word("rubygems_", Hex, 40),
    token("dckr_pat_", Word, 20),
    token("dckr_oat_", Word, 20),
    // Swarm: join tokens and the key that unlocks a manager.
    token("SWMTKN-1-", Word, 20),
    token("SWMKEY-1-", Any, 20),
    // Clouds, vaults and platforms.
    word("hvs.", Dotted, 20),
    word("hvb.", Dotted, 20),
    word("hvr.", Dotted, 20),
    word("dop_v1_", Hex, 40),
    word("doo_v1_", Hex, 40),
    word("dor_v1_", Hex, 40),
    exactly("dapi", Hex, 32),
    word("pul-", Hex, 40),
    word("tskey-", Word, 20),
    word("dp.pt.", Alnum, 40),
    word("dp.st.", Dotted, 40),
    word("glc_", Any, 32),
    word("glsa_", Word, 32),
    word("sntrys_", Any, 40),
    word("sntryu_", Hex, 40),
    word("NRAK-", Upper, 27),
    word("PMAK-", Word, 40),
    word("lin_api_", Alnum, 32),
    word("ntn_", Alnum, 40),
    word("figd_", Word, 30),
    word("sbp_", Hex, 40),
    word("CFPAT-", Word, 40),
    word("AKCp", Alnum, 60),
    word("dt0c01.", Dotted, 60),
    word("ops_eyJ", Any, 60),
    word("FlyV1 fm", Any, 40),
    // Models.
    word("sk-", Word, 32),
    word("hf_", Alnum, 30),
    word("gsk_", Alnum, 40),
    word("xai-", Alnum, 40),
    word("r8_", Alnum, 30),
    word("nvapi-", Word, 40),
    // Keys of files.
    token("AGE-SECRET-KEY-1", Upper, 50),
    // Hashes of passwords, also with the dollars doubled as compose files have them.
    word("$apr1$", Crypt, 20),
    word("$1$", Crypt, 23),
    word("$2a$", Crypt, 50),
    word("$2b$", Crypt, 50),
    word("$2y$", Crypt, 50),
    word("$5$", Crypt, 43),
    word("$6$", Crypt, 80),
    word("$y$", Crypt, 40),
    word("$argon2id$", Crypt, 30),
    word("$argon2i$", Crypt, 30),
    word("$$apr1$$", Crypt, 20),
    word("$$2a$$", Crypt, 50),
    word("$$2b$$", Crypt, 50),
    word("$$2y$$", Crypt, 50),
    word("{SHA}", Any, 27),
    word("{SSHA}", Any, 27),
];
