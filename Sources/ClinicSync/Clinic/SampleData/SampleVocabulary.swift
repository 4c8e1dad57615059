/// The words that form the made-up data.
///
/// Names are common ones of the Philippines, combined at random; streets and barangays exist in most towns. Telephone
/// numbers begin with 0900 and mail addresses end in `example.com`, so that they reach nobody.
enum SampleVocabulary {
    static let maleNames = [
        "Jose", "Juan", "Antonio", "Ramon", "Manuel", "Roberto", "Eduardo", "Ricardo", "Fernando", "Carlo", "Miguel",
        "Angelo", "Mark Anthony", "John Paul", "Christian", "Joshua", "Rafael", "Gabriel", "Emmanuel", "Danilo",
        "Rodrigo", "Ernesto", "Alfredo", "Benigno", "Crisanto", "Dominador", "Efren", "Florencio", "Gregorio", "Isidro",
    ]
    static let femaleNames = [
        "Maria", "Ana", "Rosario", "Teresa", "Carmela", "Corazon", "Luzviminda", "Marites", "Jocelyn", "Rowena",
        "Angelica", "Kristine", "Mary Grace", "Princess", "Jasmine", "Althea", "Bea", "Isabel", "Divina", "Erlinda",
        "Florencia", "Gloria", "Imelda", "Josefina", "Leonora", "Milagros", "Norma", "Perla", "Remedios", "Soledad",
    ]
    static let surnames = [
        "Santos", "Reyes", "Cruz", "Bautista", "Ocampo", "Garcia", "Mendoza", "Torres", "Tomas", "Andrada", "Castillo",
        "Flores", "Villanueva", "Ramos", "Castro", "Rivera", "Aquino", "Navarro", "Salazar", "Mercado", "Dela Cruz",
        "Del Rosario", "De Guzman", "Pascual", "Santiago", "Manalo", "Magsaysay", "Dimaculangan", "Lacson",
        "Panganiban",
        "Sarmiento", "Tolentino", "Valdez", "Velasco", "Macaraeg", "Catapang", "Malonzo", "Ibañez", "Peña", "Zamora",
    ]
    static let suffixes = ["Jr.", "Sr.", "II", "III"]
    static let streets = [
        "Rizal Street", "Mabini Street", "Bonifacio Street", "Del Pilar Street", "Luna Street", "Quezon Avenue",
        "Burgos Street", "Aguinaldo Street", "Sampaguita Street", "Ilang-Ilang Street", "Acacia Street", "Narra Street",
    ]
    static let barangays = [
        "San Isidro", "San Roque", "Santo Niño", "Poblacion", "San Antonio", "San Jose", "Santa Cruz", "Bagong Silang",
        "Malinao", "Del Carmen", "Bayanihan", "Maligaya",
    ]
    static let towns = [
        "Quezon City", "Antipolo, Rizal", "Dasmariñas, Cavite", "Biñan, Laguna", "Lipa, Batangas", "Malolos, Bulacan",
        "San Fernando, Pampanga", "Iloilo City", "Naga, Camarines Sur", "Dumaguete, Negros Oriental",
    ]
    static let bloodTypes = ["O+", "O+", "O+", "A+", "A+", "B+", "B+", "AB+", "O-", "A-"]
    static let civilStatuses = ["Single", "Married", "Married", "Widowed", "Separated"]
    static let allergies = ["Penicillin", "Shrimp", "Peanuts", "Sulfa drugs", "Dust", "Aspirin", "Latex"]
    static let medications = [
        "Losartan 50 mg once a day", "Amlodipine 5 mg once a day", "Metformin 500 mg twice a day",
        "Atorvastatin 20 mg at bedtime", "Salbutamol inhaler as needed",
    ]
    static let pastIllnesses = [
        "Hypertension", "Type 2 diabetes", "Asthma", "Pulmonary tuberculosis, treated", "Appendectomy",
        "Dengue fever", "Gout",
    ]
    static let purposes = [
        "Cough and colds", "Fever for three days", "Headache", "Follow-up of blood pressure", "Medical certificate",
        "Stomach pain", "Back pain", "Skin rash", "Annual check-up", "Laboratory only", "Dizziness", "Wound care",
    ]
    static let findings: [(diagnosis: String, treatment: String, prescription: String)] = [
        ("Upper respiratory tract infection", "Rest, fluids", "Paracetamol 500 mg every 6 hours for 3 days"),
        ("Essential hypertension", "Low-salt diet, exercise", "Losartan 50 mg once a day for 30 days"),
        ("Type 2 diabetes mellitus", "Diet, monthly fasting blood sugar", "Metformin 500 mg twice a day for 30 days"),
        ("Acute gastroenteritis", "Oral rehydration", "Oral rehydration salts after each loose stool"),
        ("Urinary tract infection", "Fluids, repeat urinalysis", "Nitrofurantoin 100 mg twice a day for 5 days"),
        ("Allergic rhinitis", "Avoid dust", "Cetirizine 10 mg at bedtime for 7 days"),
        ("Tension headache", "Rest, regular meals", "Paracetamol 500 mg as needed"),
        ("Bronchial asthma, mild", "Avoid smoke", "Salbutamol inhaler, 2 puffs as needed"),
        ("Contact dermatitis", "Avoid the irritant", "Hydrocortisone 1% cream twice a day for 7 days"),
        ("Iron deficiency anemia", "Iron-rich diet, repeat CBC in a month", "Ferrous sulfate 325 mg once a day"),
    ]
    static let cancellationReasons = ["Patient called", "No show", "Doctor on leave", "Typhoon signal"]
    static let paymentMethods = ["Cash", "Cash", "Cash", "GCash", "Maya", "Card", "PhilHealth"]
    static let securityQuestions = [
        "What was the name of your first school?", "In which town was your mother born?",
        "What was your first pet called?",
    ]
    static let devices = ["Front desk", "Doctor's room 1", "Doctor's room 2", "Laboratory", "Cashier"]
}
